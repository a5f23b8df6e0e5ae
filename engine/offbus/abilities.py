"""What an environment or its opener may be able to do besides what each has to: one protocol for each ability.

`ability(environment, HoldsLeases)` is the one way to ask: the engine, its commands and packages' steps ask nowhere else
and in no other way. None has to be declared; who has the method has the ability.

An environment, or an opener, may stand around another one: to count, to slow down, to record. It says so (`Wraps`), and
what it cannot do itself is asked of the one inside. Otherwise a wrapper that passes on what it knows would lose the
rest without a word: the engine would go on after a lost lease, and undo a run that another process owns.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from pydantic import BaseModel

from offbus.environment import Environment, RunHandle
from offbus.journal.events import Event

__all__ = [
    "FindsRuns",
    "HoldsLeases",
    "MayMissChanges",
    "OnlyLooks",
    "OwnsRun",
    "PersistsEvents",
    "SaysWhere",
    "StoresSecrets",
    "SuggestsFixes",
    "TellsExternalChanges",
    "UnfinishedRun",
    "Wraps",
    "ability",
]

Able = TypeVar("Able")


@runtime_checkable
class Wraps(Protocol):
    """An environment or an opener that stands around another one. Optional."""

    @property
    def wrapped(self) -> object:
        """The one inside."""


def ability(of: object, kind: Callable[..., Able]) -> Able | None:
    """Who has an ability: `of`, else the first one inside of it that has; None when nobody has.

    `kind` is a protocol with `@runtime_checkable`, or a class. Its type here is that of a callable, because mypy takes
    no protocol for a `type[...]` (its error code type-abstract): it might be instantiated. Here it is not.
    """
    wanted = cast("type[Able]", kind)
    while not isinstance(of, wanted):
        if not isinstance(of, Wraps):
            return None
        of = of.wrapped
    return of


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


@runtime_checkable
class StoresSecrets(Protocol):
    """An environment that stores secrets which may be inputs of a scenario (offbus.secret). Optional."""

    async def read_secret(self, name: str) -> str:
        """The value of "NAMESPACE/NAME/KEY". Raises StepError, which does not repeat it."""


@runtime_checkable
class SuggestsFixes(Protocol):
    """An environment that knows how a person would fix a difference in its fingerprint. Optional."""

    def fix(self, item: str, before: Any) -> str | None:
        """The command that makes `item` be `before` again (None: it was not there); None when no command does that."""


@runtime_checkable
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
