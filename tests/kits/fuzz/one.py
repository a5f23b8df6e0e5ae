"""One fuzzer, a program of its own: `python -m tests.kits.fuzz.one TARGET LIBFUZZER-ARGUMENT…`, started by run.py.

Our packages and h11, which reads HTTP heads for the agent's server, are instrumented as they are imported. A target in
C is compiled.
"""

import logging
import sys

from tests.kits.fuzz.in_c import IN_C, start

INSTRUMENTED = ["offbus", "offbus_agent", "offbus_steps", "h11"]


def main() -> None:
    """Never returns."""
    name = sys.argv.pop(1)
    if name in IN_C:
        start(name, sys.argv[1:])
    import atheris  # has no build for some machines, on which those in C are fuzzed all the same

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.kits.fuzz.targets import TARGETS
    logging.disable(logging.CRITICAL)
    target = TARGETS[name]
    target(b"")  # what it makes once does not count as an input's
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
