"""What `offbus plan` finds in an environment before a run, and the part that each step type takes in it.

An opener that `RunsPreflight` looks at its environment as it is, and calls `checks_of_steps`: each step type's own
`preflight`, in the order of the steps. Nothing is changed; what would refuse a run is a check of level error.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from offbus.environment import RunHandle
from offbus.errors import OffbusError

__all__ = ["Intent", "Preflight", "PreflightCheck", "RunsPreflight", "checks_of_steps"]


@dataclass(frozen=True, slots=True)
class Intent:
    """A step of a scenario, as far as it is known before the run."""

    step: str
    uses: str
    params: Mapping[str, Any]
    """Those of its params that are known before the run."""
    preflight: "Preflight | None" = None
    """Its type's own preflight (`StepType.preflight`), loaded."""
    waits_for: Collection[Any] = frozenset()
    """What others have to do for it to pass (`StepType.waits_for`)."""

    @property
    def topic(self) -> str:
        """The heading of its checks."""
        return f"step {self.step}"


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One result of the preflight."""

    topic: str
    """A word or two, for a heading: "permissions", "table orders"."""
    text: str
    level: Literal["info", "warning", "error"] = "info"
    """`warning`: the drill may not show what it should; `error`: a run would be refused."""
    hint: str | None = None


Preflight = Callable[[Any, Intent], Awaitable[Sequence[PreflightCheck]]]
"""`async preflight(drill, intent) -> checks`: a step type's own part of the preflight, in the order of the steps.

`drill` is what the environment gives to all of them, with what the steps before told about their own part
(offbus_steps.cluster.preflight). Sends only reads and dry runs. Raises OffbusError where a run would be refused."""


async def checks_of_steps(drill: Any, intents: Iterable[Intent]) -> list[PreflightCheck]:
    """The steps' own preflights, in the order of the steps; an error of one is a check, and the others go on.

    What several steps say in the same words, of a target that they share for example, is told once.
    """
    found: list[PreflightCheck] = []
    for intent in intents:
        if intent.preflight is None:
            continue
        try:
            found += await intent.preflight(drill, intent)
        except OffbusError as err:
            found.append(PreflightCheck(intent.topic, err.message, "error", err.hint))
    return list(dict.fromkeys(found))


@runtime_checkable
class RunsPreflight(Protocol):
    """An opener that can check its environment before a run and say what would happen there. Optional.

    It calls `checks_of_steps`, so that a third party's step takes part.
    """

    async def preflight(
        self, options: Any, guards: Any, intents: Sequence[Intent], run: RunHandle, *, scenario_dir: str
    ) -> Sequence[PreflightCheck]:
        """Check, and change nothing. Raises CouldNotRun when the environment cannot be reached."""
