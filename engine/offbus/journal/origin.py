"""Whose words a field of an event holds: the run's own, or those of the world outside, in which no secret is written.

    message: Told
    evidence: NotRequired[Facts]
    lane: Own
    record: Retained

Every text in a schema (offbus.journal.schemas) says it; what says nothing is taken for others' words
(offbus.journal.prose), as a secret that is written stays written.
"""

from enum import Enum
from typing import Annotated, Any

__all__ = ["Facts", "Origin", "Own", "Retained", "Told"]


class Origin(Enum):
    """Whose words they are."""

    OWN = "own"
    """Names, ids, and what an undo needs, which must stay as it is."""
    OUTSIDE = "outside"
    """What others said, or may have: messages, evidence, values."""


Own = Annotated[str, Origin.OWN]
Told = Annotated[str, Origin.OUTSIDE]
Retained = Annotated[dict[str, Any], Origin.OWN]
Facts = Annotated[dict[str, Any], Origin.OUTSIDE]
