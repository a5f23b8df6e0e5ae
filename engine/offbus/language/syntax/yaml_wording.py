"""What a syntax error of PyYAML's means.

The only module that reads its English (decision 0014): its errors have no codes. libyaml and PyYAML's own parser word
some of them differently, so only what is common to both is looked for. When the wording changes, a syntax error stays a
finding at its position, in the parser's words and without our hint.
"""

__all__ = ["hint", "too_deep"]

_TOO_DEEP = "exceeded maximum nesting depth"
"""libyaml's own limit, which it may meet before the builder sees the level that is ours: it reads ahead."""
_COLON = "mapping values are not allowed"
_FIRST_CHARACTER = "cannot start any token"


def too_deep(problem: str) -> bool:
    """Whether the text is nested deeper than the parser goes."""
    return problem == _TOO_DEEP


def hint(problem: str, frame: str) -> str | None:
    """What to do about it, in the line `frame`."""
    if _COLON in problem:
        return 'a text with ": " in it must be quoted; else check the indentation'
    if _FIRST_CHARACTER in problem:
        return "a text that begins with this character must be quoted"
    return "check that brackets, braces and quotes are closed" if any(c in frame for c in "{}[]\"'") else None
