"""Notes of which only the latest are kept: whoever may write to a kernel log spells as many names as it likes. Pure."""

from typing import TypeVar

__all__ = ["note"]

K = TypeVar("K")
V = TypeVar("V")


def note(notes: dict[K, V], key: K, value: V, most: int) -> None:
    """Note it as the latest; when there are more than `most`, the oldest is forgotten."""
    notes.pop(key, None)
    notes[key] = value
    if len(notes) > most:
        del notes[next(iter(notes))]
