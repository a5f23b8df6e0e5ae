"""What was probably meant by a name that is not known."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

__all__ = ["COMPARED", "closest", "did_you_mean"]

COMPARED = 300
"""Names that a wrong one is compared with: among more, comparing costs more than a suggestion helps."""


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """The one of `allowed` that was probably meant, if one is near. Looks at the first few hundred only."""
    return _closest(word, tuple(islice(allowed, COMPARED)))


def did_you_mean(word: str, allowed: Iterable[str], otherwise: str) -> str:
    """A hint: the near one of `allowed`, else what is said otherwise."""
    near = closest(word, allowed)
    return f"did you mean {near!r}?" if near else otherwise


@lru_cache(maxsize=1000)
def _closest(word: str, allowed: tuple[str, ...]) -> str | None:
    """Cached: all steps that need a renamed one ask for it."""
    from difflib import get_close_matches

    near = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return near[0] if near else None
