"""What an expression may name, and the value of each name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus.language.cel.growth import Budget
from offbus.step import Outputs

__all__ = ["Scope", "StepState"]


@dataclass(frozen=True, slots=True)
class StepState:
    """The outcome of a step, as expressions see it."""

    outcome: str
    """passed, failed, errored, timed_out, skipped, cancelled."""
    outputs: Outputs | None
    """None if it had none: it was skipped or did not get that far."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The values that expressions are evaluated over."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, StepState] = field(default_factory=dict)
    """The steps that have ended."""
    outputs: Outputs | None = None
    """The step's own, for its `expect`."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """By full name ("requests.success_rate"); a duration is a timedelta, or a number of seconds."""
    budget: Budget | None = None
    """What all expressions over this scope may make together, where many are evaluated and kept: at load."""
