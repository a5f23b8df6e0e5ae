"""`python -m offbus`."""

from offbus.start import main

if __name__ == "__main__":
    main()
