"""`$(VAR)` in container values, exactly as Kubernetes expands it (its package third_party/forked/golang/expansion).

`$$` is a literal `$`; an unknown reference stays as it is written; nothing else is special.
"""

import re
from collections.abc import Mapping

__all__ = ["expand"]

REFERENCE = re.compile(r"\$\$|\$\(([^()]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the known references replaced by their values."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return REFERENCE.sub(replace, text)
