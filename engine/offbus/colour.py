"""Whether what is printed is coloured: findings, the live screen, reports and tables ask here.

NO_COLOR set to anything turns it off (no-color.org); FORCE_COLOR, but for an empty one and 0, turns it on
(force-color.org), as CI logs that show colours want it; else a terminal decides, unless it is dumb.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["is_terminal", "wants_colour"]


def wants_colour(stream: Any, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: a text file, or anything that has its `isatty`."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal(stream) and environ.get("TERM") != "dumb"


def is_terminal(stream: Any) -> bool:
    """Whether `stream` shows on a terminal; a closed one does not."""
    try:
        return bool(stream.isatty())
    except ValueError:  # closed
        return False
