"""What a step is given: the engine's side of offbus.step.Context."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel

from offbus.abilities import HoldsLeases, PersistsEvents
from offbus.cleanup import CleanupOutputs
from offbus.environment import Environment
from offbus.journal.events import Event
from offbus.journal.writer import JournalWriter
from offbus.runner.clock import Clock
from offbus.runner.recorder import JournalRecorder, MetricValues
from offbus.runner.undo_registry import refuse_open
from offbus.runner.undo_runner import UndoEntry
from offbus.secret import Secret, SecretSource, read_secret
from offbus.undo import Undo

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Services", "StepContext"]


@dataclass(frozen=True, slots=True)
class Services:
    """What the run gives to all of its contexts."""

    journal: JournalWriter
    epoch: int
    metrics: MetricValues
    environment: Environment
    leases: HoldsLeases | None
    """The environment, if it holds leases."""
    persister: PersistsEvents | None
    """The environment, if it stores events."""
    clock: Clock
    scenario_dir: str
    run_dir: str
    register: Callable[[str, Undo], Event]
    """Journals an undo and returns its event; raises StepError when it may not go ahead."""
    amend: Callable[[str, Undo, Undo], Event]
    """Journals an undo once more, with what its effect told; raises StepError."""
    undo_now: Callable[[Sequence[str]], Awaitable[list[UndoEntry]]]
    """Stops and undoes other steps for a cleanup step."""
    progress: Callable[[str | None, str], None]
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    """Where the values of secret inputs are."""


class Stoppable(Protocol):
    """Where a background step learns that it should end; the event is only made when it is asked for."""

    @property
    def stop(self) -> anyio.Event: ...


class StepContext(JournalRecorder):
    """One attempt of one step."""

    def __init__(
        self, services: Services, step: str, on_ready: Callable[[], None], stoppable: Stoppable
    ) -> None:
        super().__init__(services.journal, services.epoch, services.metrics, step)
        self._services = services
        self._name = step
        self._on_ready = on_ready
        self._stoppable = stoppable

    @property
    def step(self) -> str:
        """This step's id."""
        return self._name

    @property
    def environment(self) -> Environment:
        """What the run acts on."""
        return self._services.environment

    @property
    def scenario_dir(self) -> str:
        """The folder of the scenario file."""
        return self._services.scenario_dir

    @property
    def run_dir(self) -> str:
        """The run's own folder."""
        return self._services.run_dir

    @cached_property
    def log(self) -> "FilteringBoundLogger":
        """A structlog logger with run and step bound."""
        import structlog

        config = structlog.get_config()
        bound: Any = structlog.wrap_logger(
            None, processors=[self._masked, *config["processors"]], run=self.run_id, step=self._name
        )
        return bound  # type: ignore[no-any-return]  # structlog's bind() is typed Any

    async def undo(self, undo: Undo) -> None:
        """Journal an undo before its effect; a cancelled step, or one without its leases, gets no further than here."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._services.leases is not None:
            await self._services.leases.may_change()
        record = self._services.register(self._name, undo)
        # Last: when this fails, the record is in the journal all the same, and its undo finds nothing to do.
        if self._services.persister is not None:
            await self._services.persister.persist(record)

    async def amend(self, recorded: Undo, amended: Undo) -> None:
        """Journal what the effect told, under the number of its undo; a stop does not refuse that, it is no effect."""
        record = self._services.amend(self._name, recorded, amended)
        if self._services.persister is not None:
            await self._services.persister.persist(record)

    async def undo_now(self, steps: Sequence[str]) -> CleanupOutputs:
        """For `cleanup`: stop these steps if they run, undo them now. Raises StepProblem if one stays undone."""
        played = await self._services.undo_now(steps)
        refuse_open(played)
        results = Counter(entry.result.result for entry in played if entry.result is not None)
        return CleanupOutputs(restored=results["restored"], nothing=results["nothing"])

    async def secret(self, one: Secret) -> str:
        """The value of a secret input, read now; nothing that the run tells has it from then on. Raises StepError."""
        value = await read_secret(one.secret, self._services.secrets.get(one.secret), self.environment)
        self._services.journal.masking.learn(value)
        return value

    def _masked(self, _logger: object, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
        masking = self._services.journal.masking
        return {name: masking.json(value) for name, value in entry.items()}

    def without_secrets(self, text: str) -> str:
        """The text without the values of all secrets that the run has read."""
        return self._services.journal.masking.text(text)

    def ready(self) -> None:
        """A background step is ready."""
        self._on_ready()

    async def stopped(self) -> None:
        """Wait until a background step is asked to stop."""
        await self._stoppable.stop.wait()

    def progress(self, text: str) -> None:
        """For the live view."""
        self._services.progress(self._name, self.without_secrets(text))

    async def sleep(self, duration: timedelta) -> None:
        """Sleep on the engine's clock."""
        await anyio.sleep(duration.total_seconds())

    def now_ns(self) -> int:
        """The runner's monotonic clock."""
        return self._services.clock.mono_ns()
