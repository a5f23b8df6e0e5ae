"""One fuzzer, a program of its own: `python -m tests.kits.fuzz.one TARGET LIBFUZZER-ARGUMENT…`, started by run.py.

Our packages and h11, which reads HTTP heads for the agent's server, are instrumented as they are imported.
"""

import logging
import sys

import atheris

INSTRUMENTED = ["offbus", "offbus_agent", "offbus_steps", "h11"]


def main() -> None:
    """Never returns."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.kits.fuzz.targets import TARGETS
    logging.disable(logging.CRITICAL)
    target = TARGETS[name]
    target(b"")  # what it makes once does not count as an input's
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
