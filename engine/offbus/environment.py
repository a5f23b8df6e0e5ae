"""What a run acts on, as the engine sees it. The engine never looks inside.

An environment type is registered under the entry point group `offbus.environments`; it has its own options,
guards and target schema. `offbus_steps.cluster.cluster` narrows `Environment` to the port that steps use.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from offbus.declared import Lane
from offbus.journal.events import Event
from offbus.masking import Masking
from offbus.recorder import Recorder

__all__ = [
    "Environment",
    "EnvironmentType",
    "Guards",
    "Leftover",
    "Opener",
    "Options",
    "RunHandle",
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

    @property
    def masking(self) -> Masking:
        """The secrets that the run has read: no file of the environment that outlives the run has them."""

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

    What it may be able to do besides: offbus.abilities.
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
    """How an environment is opened. What it may be able to do besides: offbus.abilities, offbus.preflight."""

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
