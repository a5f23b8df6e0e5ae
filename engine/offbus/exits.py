"""Exit codes of every offbus command (the contract with CI systems)."""

from enum import IntEnum

__all__ = ["PRECEDENCE", "Exit", "worst"]


class Exit(IntEnum):
    """What the process's exit status says."""

    PASSED = 0
    """The command did what was asked; a drill passed."""
    FAILED = 1
    """The verdict is failed: a failed step, a timed-out observation, or a vacuous run."""
    INVALID = 2
    """The scenario or the command line is wrong; nothing was touched."""
    COULD_NOT_RUN = 3
    """A step errored (it could not be done, or what it waits for not be seen), an action timed out, a guard refused, a
    run was left unfinished, or a bug."""
    RESIDUE = 4
    """Something that the run changed was not restored, or a second signal ended it."""
    INTERRUPTED = 130
    """Interrupted, and clean."""


PRECEDENCE = (Exit.RESIDUE, Exit.INTERRUPTED, Exit.COULD_NOT_RUN, Exit.FAILED, Exit.INVALID, Exit.PASSED)
"""Which code wins when several hold at once, first wins."""


def worst(*codes: Exit) -> Exit:
    """The code that the process exits with when all of `codes` hold; `PASSED` for none."""
    return min(codes, key=PRECEDENCE.index, default=Exit.PASSED)
