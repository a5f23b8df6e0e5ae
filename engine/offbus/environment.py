"""What a run acts on, as the engine sees it. The engine never looks inside.

An environment type is registered under the entry point group `offbus.environments`; it has its own options,
guards and target schema. `offbus_steps.cluster.cluster` narrows `Environment` to the port that steps use.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from offbus.declared import Lane
from offbus.journal.events import Event
from offbus.recorder import Recorder

__all__ = [
    "Environment",
    "EnvironmentType",
    "FindsRuns",
    "Guards",
    "HoldsLeases",
    "Leftover",
    "MayMissChanges",
    "OnlyLooks",
    "Opener",
    "Options",
    "OwnsRun",
    "PersistsEvents",
    "RunHandle",
    "SaysWhere",
    "SuggestsFixes",
    "TellsExternalChanges",
    "UnfinishedRun",
    "UsersChoice",
    "users_choices",
]


class Options(BaseModel):
    """Base of an environment's options: the keys beside `uses` in the scenario, and `--env-set`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class UsersChoice:
    """Marks an options field that only who runs offbus may set (`--env-set`), never a scenario.

        kubeconfig: Annotated[str, UsersChoice("a kubeconfig may hold commands")] = ""

    A scenario may come from anybody, and `validate` and `plan` only look at it. So what names a command that is
    executed, or a file whose content is sent to somebody, is no option of a scenario's: there it is a finding (OB508),
    unless the command line replaces it, and no editor offers it (offbus.language.jsonschema).
    """

    why: str


def users_choices(options: type[Options]) -> dict[str, UsersChoice]:
    """The options that are marked so, as they are spelt in a file."""
    fields = options.model_fields.items()
    return {
        info.alias or name: mark
        for name, info in fields
        for mark in info.metadata
        if isinstance(mark, UsersChoice)
    }


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

    @property
    def confirmed(self) -> bool:
        """Whether the user was shown where and on what this recovery acts, and wants it (`--trust`)."""

    def opened(self, state: Mapping[str, Any]) -> None:
        """Journal (fsync) what `reopen` needs. Called before the first change to the world, and when there is more."""

    def unopened(self, leftovers: Iterable[Leftover] = ()) -> None:
        """The environment did not open, though `opened` was called: what was started was ended, and that was verified.

        `leftovers` is what may still exist. A failed `open` that does not call this is residue, because nothing was
        verified.
        """

    def persisted(self) -> Sequence[Event]:
        """The events so far that a recovery on another machine needs (offbus.journal.recovery_events).

        An environment that `PersistsEvents` stores these before it lets the run change anything; later ones are passed
        to its `persist`.
        """

    def abort(self, reason: str) -> None:
        """A guard no longer holds, or a lease was lost: stop the run, undo, exit 3. May be called from a task."""

    def progress(self, text: str) -> None:
        """For the live view, while the environment is opened or closed."""


class Environment(Protocol):
    """An open environment.

    It may also be one that `HoldsLeases`, `PersistsEvents`, `OwnsRun`, `MayMissChanges`, `SuggestsFixes`,
    `TellsExternalChanges`.
    """

    async def fingerprint(self) -> dict[str, Any]:
        """Everything that a run may touch, flat: "File/a.txt sha256" -> JSON value.

        A name that ends with `[]` holds many of one kind ("Table/orders labels[]" -> {"team": "a"}): in a large
        environment that takes half of the memory. Differences are reported one by one, as `…labels[team]`.
        In a value that is a mapping, a key that ends with `()` is neither compared nor reported: it is there for
        `TellsExternalChanges`, such as where something was.
        Taken before the first step and after the last undo; a difference that no undo reported is residue.
        Names that the platform makes up (uids, versions) do not occur in it.
        """

    async def close(self, *, finished: bool) -> None:
        """Called once, last, in a bounded shield. `finished`: nothing is left to undo, so what `open` started for
        this run alone may end; otherwise it must stay for `offbus recover`."""


@runtime_checkable
class HoldsLeases(Protocol):
    """An environment in which faults live only as long as their leases, so that a suspended runner may be too late.

    Optional: in an environment without `may_change`, nothing expires.
    """

    async def may_change(self) -> None:
        """Raises StepError when the run may change nothing more. Called by `ctx.undo` before every effect.

        After SIGCONT, or a suspend of the machine, the runner does not know that time has passed. So the holder of
        the leases must check *now*: compare CLOCK_BOOTTIME (not the loop's clock, which may stop) with the last
        renewal that was acknowledged; when a ttl has passed since, or the agent answers 410 to a renewal, the lease
        is lost for good. Nothing is armed again; the message names the lease and how long the runner was suspended.
        """


@runtime_checkable
class PersistsEvents(Protocol):
    """An environment that stores the events a recovery elsewhere needs (offbus.journal.recovery_events). Optional."""

    async def persist(self, event: Event) -> None:
        """Store one more event, the fingerprint or an undo record, after it was journaled.

        Raises StepError when it could not be stored: the effect of an undo record must not begin. The record stays in
        the journal, and its undo finds nothing to do.
        """


@runtime_checkable
class OwnsRun(Protocol):
    """An environment that knows whether this process still owns the run: only its owner may undo. Optional."""

    async def may_undo(self) -> None:
        """Raises TakenOver when another process owns the run now. Called before every try of an undo.

        Any other error means that the owner could not be determined: that try fails, a later one may succeed.
        """


@runtime_checkable
class MayMissChanges(Protocol):
    """An environment that is seen over a path which may fail unnoticed. Optional."""

    async def missed_changes(self) -> str | None:
        """Why something that happened may not have been seen, in words; None when it would have been.

        Called when a step's time has run out: what was not seen then is the path's error, and not what the drill is
        about. Bounded by the caller; no answer counts as a reason.
        """


class SuggestsFixes(Protocol):
    """An environment that knows how a person would fix a difference in its fingerprint. Optional."""

    def fix(self, item: str, before: Any) -> str | None:
        """The command that makes `item` be `before` again (None: it was not there); None when no command does that."""


class TellsExternalChanges(Protocol):
    """An environment that knows what neither a run nor the responder to its faults could have changed. Optional."""

    def external_change(
        self,
        item: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        recorded: Sequence[BaseModel] | None,
    ) -> str | None:
        """Why somebody else made the difference of `item` between two fingerprints; None when it may be ours.

        `recorded` are all undos that the run recorded, so everything that it did; None when they are not all known.
        Such a difference is reported but is no residue: others use the cluster during a drill. When it is not certain:
        None.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentType:
    """A registered environment. `open` and `reopen` are async context managers that run inside the run's task group."""

    name: str
    summary: str
    options: type[Options]
    guards: type[Guards]
    opener: "Opener"
    lanes: Sequence[Lane] = ()
    """What is observed in it, in the order of the live view's sections. Other lanes may be used, without a section."""


class Opener(Protocol):
    """How an environment is opened."""

    def open(
        self, options: Any, guards: Any, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect, start what must be started, check guards. Raises GuardRefused, CouldNotRun.

        One that raises after `run.opened` first ends what it started, verifies that, and calls `run.unopened`.
        """

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect again from journaled state, for `recover`.

        Raises CouldNotRun if it cannot be reached, EnvironmentGone if it is proven to be gone.
        """

    def identity(self, options: Any) -> str:
        """Names the environment, so that two runs in it exclude each other ("files:/path", "database:orders")."""


@runtime_checkable
class OnlyLooks(Protocol):
    """An opener that can open its environment only to look at it. Optional: without it, a look opens as a run does.

    Nothing is taken, stored, noted, started for good or ended: the environment is left as it was found. Raises
    CouldNotRun while another run changes it.
    """

    def look(
        self, options: Any, guards: Any, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """As `Opener.open`, for the fingerprint alone."""

    def look_again(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """As `Opener.reopen`, for the fingerprint alone. The state is hostile input."""


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """A run whose events an environment stores."""

    run: str
    holder: str
    """Who holds it, or held it last, in words."""
    events: tuple[Event, ...]
    """Enough to rebuild a journal that reaches the environment as the options do; none when nothing was stored."""
    damage: str = ""
    """Why what was stored cannot be read."""


@runtime_checkable
class FindsRuns(Protocol):
    """An opener of environments that store the events of their runs (`PersistsEvents`). Optional."""

    async def unfinished_runs(self, options: Any) -> Sequence[UnfinishedRun]:
        """The runs that are stored, those still running included: only a takeover can tell. Raises CouldNotRun."""


@runtime_checkable
class SaysWhere(Protocol):
    """An opener that tells where a journaled state would have a recovery act. Optional."""

    def where(self, state: Mapping[str, Any]) -> str:
        """In words, for people who decide whether that is right. The state is hostile input; raises nothing."""
