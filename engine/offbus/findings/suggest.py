"""What was meant by a name that is not known: probably (`closest`), or for certain (`certain`)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

__all__ = ["COMPARED", "certain", "closest", "did_you_mean"]

COMPARED = 300
"""Names that a wrong one is compared with: among more, comparing costs more than a suggestion helps."""


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """The one of `allowed` that was probably meant, if one is near. Looks at the first few hundred only."""
    return _closest(word, tuple(islice(allowed, COMPARED)))


def did_you_mean(word: str, allowed: Iterable[str], otherwise: str) -> str:
    """A hint: the near one of `allowed`, else what is said otherwise."""
    near = closest(word, allowed)
    return f"did you mean {near!r}?" if near else otherwise


_LONGEST = 64
"""Characters of a name that is compared letter by letter."""


def certain(word: str, allowed: Iterable[str]) -> str | None:
    """The only one of `allowed` that `word` can be a slip of; None when there is none, or a second one.

    A slip is another spelling of the same word (`keepGoing`, `keep-going`), or a letter that is missing, too much,
    wrong or swapped with the next one: one in a word of four to seven letters, two in a longer one. Digits are no
    slip: `step2` is not `step1`.
    """
    names = list(islice(allowed, COMPARED))
    same = [name for name in names if _letters(name) == _letters(word)]
    near = same or [name for name in names if _is_slip(word, name)]
    return near[0] if len(near) == 1 else None


def _letters(word: str) -> str:
    return re.sub("[-_ ]", "", word).lower()


def _is_slip(word: str, name: str) -> bool:
    longest = max(len(word), len(name))
    most = 0 if longest < 4 or longest > _LONGEST else 1 if longest < 8 else 2
    return (
        abs(len(word) - len(name)) <= most
        and re.sub("[^0-9]", "", word) == re.sub("[^0-9]", "", name)
        and _distance(word, name) <= most
    )


def _distance(one: str, other: str) -> int:
    """Letters that are missing, too much, wrong or swapped (optimal string alignment)."""
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        here = [row]
        for column, wanted in enumerate(other, start=1):
            cost = min(above[column] + 1, here[-1] + 1, above[column - 1] + (letter != wanted))
            swapped = row > 1 < column and letter == other[column - 2] and one[row - 2] == wanted
            here.append(min(cost, before[column - 2] + 1) if swapped else cost)
        before, above = above, here
    return above[-1]


@lru_cache(maxsize=1000)
def _closest(word: str, allowed: tuple[str, ...]) -> str | None:
    """Cached: all steps that need a renamed one ask for it."""
    from difflib import get_close_matches

    near = get_close_matches(word, allowed, n=1, cutoff=0.6)
    return near[0] if near else None
