"""Why something could not continue, from the exception that came out of it. Pure."""

from offbus.errors import GuardRefused, JournalError, OffbusError, only_one
from offbus.journal.schemas import StopCause

__all__ = ["cause_of"]


def cause_of(error: BaseException) -> tuple[StopCause, str]:
    """The cause, as `stopped` journals it, and the reason for people."""
    error = only_one(error)
    if isinstance(error, JournalError):
        return "journal", str(error)
    if isinstance(error, OffbusError):
        return ("guard" if isinstance(error, GuardRefused) else "environment"), str(error)
    return "bug", f"bug: {type(error).__name__}: {error}"
