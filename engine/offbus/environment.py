"""What a run acts on, as the engine sees it. The engine never looks inside.

An environment type is registered under the entry point group `offbus.environments`; it brings its own options,
guards and target schema. `offbus_steps.cluster.cluster` narrows `Environment` to the port that steps use.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from offbus.journal.events import Event
from offbus.recorder import Recorder

__all__ = [
    "Environment",
    "EnvironmentType",
    "FindsRuns",
    "Guards",
    "HoldsLeases",
    "Intent",
    "Leftover",
    "Opener",
    "Options",
    "OwnsRun",
    "PersistsEvents",
    "PreflightCheck",
    "RunHandle",
    "RunsPreflight",
    "SuggestsFixes",
    "TellsExternalChanges",
    "UnfinishedRun",
]


class Options(BaseModel):
    """Base of an environment's options: what stands beside `uses` in the scenario, and `--env-set`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Guards(BaseModel):
    """Base of an environment's guards. What an environment cannot enforce is not in its model, hence refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may be left of an environment that did not open: residue."""

    item: str
    detail: str
    fix: str
    """The command that removes it."""


class RunHandle(Recorder, Protocol):
    """What the engine gives an environment for the length of a run or a recovery."""

    def opened(self, state: Mapping[str, Any]) -> None:
        """Journal (fsync) what `reopen` needs. Called before the first change to the world, and again when it grows."""

    def unopened(self, leftovers: Iterable[Leftover] = ()) -> None:
        """The environment does not open, though `opened` was called: it was ended, and that was checked.

        `leftovers` is what is not known to be gone. A failed `open` that does not call it leaves residue, for nobody
        has looked.
        """

    def persisted(self) -> Sequence[Event]:
        """The events so far that whoever finishes the run from elsewhere needs (offbus.journal.recovery_events).

        An environment that `PersistsEvents` keeps these before it lets the run change anything; those that come later
        are given to its `keep`.
        """

    def abort(self, reason: str) -> None:
        """A guard no longer holds, or a lease was lost: stop the run, undo, exit 3. May be called from a task."""

    def progress(self, text: str) -> None:
        """For the live view, while the environment is opened or closed."""


class Environment(Protocol):
    """An open environment.

    It may also be one that `HoldsLeases`, `PersistsEvents`, `OwnsRun`, `SuggestsFixes`, `TellsExternalChanges`.
    """

    async def fingerprint(self) -> dict[str, Any]:
        """Everything that a run may touch, flat: "Node/node-1 spec.unschedulable" -> JSON value.

        A name that ends with `[]` holds many of one kind ("Node/node-1 metadata.labels[]" -> {"team": "a"}): in a large
        place that takes half of the memory. Differences are told one by one all the same, as `…metadata.labels[team]`.
        Taken before the first step and after the last undo; a difference that no undo reported is residue.
        Names that the platform makes up (pods, uids, resource versions) do not occur in it.
        """

    async def close(self, *, finished: bool) -> None:
        """Called once, last, in a bounded shield. `finished`: nothing is left to undo, so what `open` started for
        this run alone may end; otherwise it must stay for `offbus recover`."""


@runtime_checkable
class HoldsLeases(Protocol):
    """An environment in which faults live only as long as their leases, so that a suspended runner may be too late.

    Optional: an environment without `may_change` says that nothing in it expires.
    """

    async def may_change(self) -> None:
        """Raises StepError when the run may change nothing more. Called by `ctx.undo` before every effect.

        After SIGCONT, or a suspend of the machine, the runner does not know that time has passed. So whoever holds
        leases must find out *now*: compare CLOCK_BOOTTIME (not the loop's clock, which may stop) with the last
        renewal that was acknowledged; when a ttl has passed since, or the agent answers 410 to a renewal, the lease
        is lost for good. Nothing is armed again; the message names the lease and for how long the runner was away.
        """


@runtime_checkable
class PersistsEvents(Protocol):
    """An environment that keeps what others need to finish the run (offbus.journal.recovery_events). Optional."""

    async def persist(self, event: Event) -> None:
        """Keep one more event, the fingerprint or an undo record, after it was journaled.

        Raises StepError when it could not be kept: the effect of an undo record must not begin. The record stays in the
        journal, and is undone, which finds nothing to do.
        """


@runtime_checkable
class OwnsRun(Protocol):
    """An environment that knows whether this process still has the run: only its owner may undo. Optional."""

    async def may_undo(self) -> None:
        """Raises TakenOver when another process has the run now. Asked before every try of an undo.

        Any other error means that it could not be found out: that try fails, a later one may not.
        """


class SuggestsFixes(Protocol):
    """An environment that knows how a person would fix a difference in its fingerprint. Optional."""

    def fix(self, item: str, before: Any) -> str | None:
        """The command that makes `item` be `before` again (None: it was not there); None when there is no such."""


class TellsExternalChanges(Protocol):
    """An environment that knows what neither a run nor what answers its faults could have changed. Optional."""

    def external_change(self, item: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
        """Why the difference of `item` between two fingerprints is somebody else's doing; None when it may be ours.

        Such a difference is told and is no residue: places are used by others while a drill runs. In doubt: None.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentType:
    """A registered environment. `open` and `reopen` are async context managers that run inside the run's task group."""

    name: str
    summary: str
    options: type[Options]
    guards: type[Guards]
    opener: "Opener"


class Opener(Protocol):
    """How an environment is opened."""

    def open(
        self, options: Any, guards: Any, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect, start what must be started, check guards. Raises GuardRefused, CouldNotRun.

        What raises after `run.opened` ends what was started, proves that, and calls `run.unopened`.
        """

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect again from journaled state, for `recover`.

        Raises CouldNotRun if it cannot be reached, EnvironmentGone if it is proven to be no more.
        """

    def identity(self, options: Any) -> str:
        """Names the place, so that two runs on one place exclude each other ("local:/path", "kubernetes:ctx")."""


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """A run that a place keeps the events of."""

    run: str
    holder: str
    """Who has it, or had it, in words."""
    events: tuple[Event, ...]
    """Enough to rebuild a journal that reaches the place as the options do; none when nothing was kept."""


@runtime_checkable
class FindsRuns(Protocol):
    """An opener of places that keep the events of their runs (`PersistsEvents`). Optional."""

    async def unfinished_runs(self, options: Any) -> Sequence[UnfinishedRun]:
        """The runs that a place knows of, living ones included: taking one over tells. Raises CouldNotRun."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A step that a scenario intends, as far as it is known before the run."""

    step: str
    uses: str
    injects: bool
    params: Mapping[str, Any]
    """Those of its params that wait for nothing."""


@dataclass(frozen=True, slots=True)
class PreflightCheck:
    """One thing that a look at a place has shown before a run."""

    topic: str
    """A word or two, for a heading: "rights", "node n1"."""
    text: str
    level: Literal["info", "warning", "error"] = "info"
    """`warning`: the drill may not show what it should; `error`: a run would be refused."""
    hint: str | None = None


@runtime_checkable
class RunsPreflight(Protocol):
    """An opener that can look at its place before a run and say what would happen there. Optional."""

    async def preflight(
        self, options: Any, guards: Any, intents: Sequence[Intent], run: RunHandle, *, scenario_dir: str
    ) -> Sequence[PreflightCheck]:
        """Look, and change nothing. Raises CouldNotRun when the place cannot be looked at."""
