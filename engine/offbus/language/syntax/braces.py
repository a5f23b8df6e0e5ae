"""Where a `${{ … }}` ends: the first `}}` outside CEL's strings and braces."""

import re

__all__ = ["CLOSE", "OPEN", "end_of"]

OPEN, CLOSE = "${{", "}}"

_STEP = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|[{}]""", re.DOTALL)


def end_of(text: str, start: int, limit: int | None = None) -> int:
    """The index after the `}}` that closes the `${{` at `start`, not beyond `limit`; -1 if there is none."""
    at, depth = start + len(OPEN), 0
    limit = len(text) if limit is None else limit
    while match := _STEP.search(text, at, limit):
        at = match.end()
        if match[1] is not None:
            continue
        if match[0] == "{":
            depth += 1
        elif depth:
            depth -= 1
        elif text.startswith(CLOSE, match.start()) and at < limit:
            return match.start() + len(CLOSE)
        else:
            return -1
    return -1
