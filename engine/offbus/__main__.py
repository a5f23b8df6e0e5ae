"""`python -m offbus`."""

from offbus.entrypoint import main

if __name__ == "__main__":
    main()
