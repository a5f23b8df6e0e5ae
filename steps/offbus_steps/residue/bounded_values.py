"""How much of what anybody may write into an object a fingerprint keeps: the rest is digests, so that a change shows.

A fingerprint is kept whole or refused (offbus.journal.bounds), and it is of all objects: without a bound of each one,
whoever may write one of them anywhere decided that no drill begins, or ends. Each function here returns what it is
given where that is not out of all proportion, which is nearly always. Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice

__all__ = ["LONGEST_NAME", "MORE", "digest", "few_of", "few_texts", "short"]

LONGEST_NAME = 317
"""Characters: of a qualified name, a prefix of 253 and a name of 63 (kubernetes.io/docs, Labels: syntax)."""
MORE = "and others"
"""The name under which those are told that are not kept one by one."""
BEGINNING = 40


def digest(text: str) -> str:
    """Sixteen digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def short(text: object, most: int = LONGEST_NAME) -> str:
    """A text; of a longer one its beginning, and a digest of all."""
    told = str(text)
    return told if len(told) <= most else f"{told[:BEGINNING]}… sha256:{digest(told)}"


def few_of(items: Mapping[str, str], most: int, first: Iterable[str] = ()) -> dict[str, str]:
    """As many as are kept of named texts, those called `first` before all others; all others together as one."""
    if len(items) <= most:
        return dict(items)
    ordered = dict.fromkeys((*first, *sorted(items)))
    chosen = {name: items[name] for name in islice(ordered, most)}
    rest = sorted((name, value) for name, value in items.items() if name not in chosen)
    return chosen | {MORE: f"{len(rest)}, sha256:{digest(repr(rest))}"}


def few_texts(texts: Iterable[str], most: int) -> list[str]:
    """The same for texts without a name, sorted."""
    ordered = sorted(texts)
    if len(ordered) <= most:
        return ordered
    rest = ordered[most:]
    return [*ordered[:most], f"{MORE}: {len(rest)}, sha256:{digest(repr(rest))}"]
