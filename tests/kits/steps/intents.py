"""The steps of a scenario, as a preflight is told of them."""

from collections.abc import Mapping
from typing import Any

from offbus.plugins import installed
from offbus.preflight import Intent

__all__ = ["intent_of"]


def intent_of(step: str, uses: str, params: Mapping[str, Any]) -> Intent:
    """A step of a shipped type, with those of its params that are known."""
    kind = installed().step_type(uses)
    return Intent(step, uses, params, kind.load_preflight(), kind.waits_for)
