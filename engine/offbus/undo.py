"""Undo: a typed, serialisable, idempotent compensation, in the journal before its effect (design.md, section 4).

An undo type is a frozen pydantic model registered under the entry point group `offbus.undos`. Its fields are
everything that is needed to undo from another process, on another machine, after `kill -9`: names, uids, and
`before` / `intended` of only the fields that the step set. No secrets. What only the effect can tell, such as the uid
of what was made, is added to the record right after it (`Context.amend`); a crash in between leaves it out.

`undo()` decides three ways by reading the world:

- now = intended          -> restore what was before               -> `UndoResult.restored()`
- now = before, or gone   -> nothing to do                          -> `UndoResult.nothing(why)`
- anything else           -> a conflict: somebody else changed it   -> `UndoResult.conflict(what)`, left alone

A record is hostile input: a run's folder, or what a cluster stores of a run, may have been written by somebody else, to
have this user undo something. So an undo acts only on objects that carry the run's label or the uid in the record, and
`refusal` lists what a drill can record: kinds, fields, values, names. It is asked before an undo is recorded (then
nothing is changed) and before every try of it (then the record is a conflict); so a drill cannot record what a recovery
would refuse. What only the world can tell is for `undo` to verify, before its first change.

A conflict is residue. Raising (any exception) means that the undo failed: it is tried again within its budget
and is residue in the end. It must be idempotent: `offbus recover` may run it again after a crash in its middle.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

from offbus.masking import Masking

if TYPE_CHECKING:
    from offbus.environment import Environment
    from offbus.recorder import Recorder

__all__ = ["Phase", "Undo", "UndoContext", "UndoResult", "refused"]


class Phase(StrEnum):
    """Which of the two passes an undo belongs to: all of DISARM run at once and first, RESTORE in reverse order."""

    DISARM = "disarm"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What an undo did, read back from the world; `evidence` is journaled."""

    result: Literal["restored", "nothing", "conflict"]
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def restored(cls, detail: str = "", **evidence: Any) -> Self:
        """The world was as intended and is now as before; read back."""
        return cls("restored", detail, evidence)

    @classmethod
    def nothing(cls, detail: str, **evidence: Any) -> Self:
        """Already as before, or the object is gone or was replaced."""
        return cls("nothing", detail, evidence)

    @classmethod
    def conflict(cls, detail: str, **evidence: Any) -> Self:
        """Somebody else changed our field: left alone, reported as residue."""
        return cls("conflict", detail, evidence)


@dataclass(frozen=True, slots=True)
class UndoContext:
    """What an undo may use. The same whether the runner, `cleanup`, `recover` or the reaper undoes."""

    run: str
    """The run's id."""
    step: str
    """The step that registered the undo."""
    environment: "Environment"
    recorder: "Recorder"
    """Where observations, metrics and proofs go (the run's journal)."""
    run_dir: str = ""
    """The run's folder, in this process: the only one that an undo may write to. "" where there is none."""
    masking: Masking = field(default_factory=Masking)
    """The secrets that the run has read: no file that an undo writes has them. It may know that it lacks some."""


class Undo(BaseModel, ABC):
    """Base of all undo types. Subclass, add fields, implement `describe` and `undo`."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    phase: ClassVar[Phase] = Phase.RESTORE
    timeout: ClassVar[timedelta] = timedelta(seconds=30)
    """For one attempt; what remains of `undo_timeout` bounds it too."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: what will be undone, naming the object ("restore orders.sql")."""

    def refusal(self, run: str) -> str | None:
        """What the record asks for that no drill of this run records ("a Secret"); None when one can record it.

        Decided from the record alone. A type that allows everything its fields can hold need not define it.
        """
        return None

    @abstractmethod
    async def undo(self, ctx: UndoContext) -> UndoResult:
        """Undo, idempotently, and read back. Raises on failure (any exception)."""

    async def settling(self, ctx: UndoContext, result: UndoResult) -> timedelta:
        """How long others may still act on what was undone with this result; zero: nobody will.

        So long it is watched after the undo (offbus.runner.settling), by `disturbed`. Raises OffbusError.
        """
        return timedelta(0)

    async def disturbed(self, ctx: UndoContext) -> str:
        """Wait until what was undone is not as before any more, and return what; it is undone once more then.

        Cancelled when the time of `settling` is over.
        """
        raise NotImplementedError(
            f"{type(self).__name__} says that it has to settle, and not by what it is seen"
        )


def refused(undo: Undo, run: str) -> str | None:
    """Why an undo of this run is left alone, in words; None when it may be tried."""
    asked = undo.refusal(run)
    return None if asked is None else f"the record asks for {asked}, which no drill records; left alone"
