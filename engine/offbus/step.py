"""What a step type is, and what a step may do: the engine's interface for step authors.

A step type is a frozen `StepType` registered under the entry point group `offbus.steps`. Its `run` is
`async run(ctx, params) -> outputs`; it is an *action* (changes the world) or an *observation* (only looks).
Before it changes the world it calls `await ctx.undo(SomeUndo(...))`; afterwards it reads the world back and
proves that the change took effect. It raises `StepFailed`, `StepError` or `Retryable` (offbus.errors).

    class GreetParams(Params):
        name: str = "world"

    class GreetOutputs(Outputs):
        greeting: str

    async def greet(ctx: Context, params: GreetParams) -> GreetOutputs:
        return GreetOutputs(greeting=f"hello, {params.name}")

    GREET = StepType(name="greet", kind=Kind.OBSERVATION, summary="Say hello.",
                     params=GreetParams, outputs=GreetOutputs, run=greet)

`run` may also be a reference, run="acme.greeting:greet": then the module that declares the type imports nothing that
runs it, and a scenario is validated without it. It is imported before a run touches anything.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from offbus.environment import Environment
    from offbus.preflight import Preflight
    from offbus.secret import Secret
    from offbus.undo import Undo

from offbus.declared import Metric, as_metric
from offbus.errors import CouldNotRun
from offbus.recorder import Recorder
from offbus.references import is_reference, resolve

__all__ = [
    "Context",
    "Expr",
    "FromAncestor",
    "Kind",
    "Outputs",
    "Params",
    "Reads",
    "Run",
    "StepType",
    "Touches",
]

NAME = re.compile(r"[a-z_][a-z0-9_]*(?:[./][a-z_][a-z0-9_]*)*")
"""Of a step type."""
Run = Callable[[Any, Any], Awaitable[Any]]
"""`async run(ctx, params) -> outputs`."""
Touches = Callable[[Mapping[str, Any], Path], Iterable[str]]
"""`touches(params, scenario_dir) -> lines`: what a step would change, inject or send.

From those of its params that are known before the run, and from files beside the scenario. A line begins with a verb:
"creates Deployment/drill/llm"."""


class Kind(StrEnum):
    """Whether a step changes the world; decides what its timeout means (a timed-out observation is a failed drill)."""

    ACTION = "action"
    OBSERVATION = "observation"


class Params(BaseModel):
    """Base of all params models: strict about unknown keys. Every field needs a description (it becomes the docs)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Outputs(BaseModel):
    """Base of all outputs models.

    Fields of type bool, int, float, str, timedelta, list, dict, or nested `BaseModel` become typed CEL names
    `outputs.x` (in the step's own `expect`) and `steps.ID.outputs.x`. A field left None was never set: using it
    in an expression is an error, never false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True, slots=True)
class FromAncestor:
    """Marks a params field that, when the scenario omits it, takes the output of that name of an ancestor.

        target: Annotated[Target | None, FromAncestor("target")] = None

    Exactly one ancestor (through `needs`) must output it; none or two is a finding at load, unless `optional`
    (then none leaves the field's default).
    """

    output: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Expr:
    """Marks a params field of type str that holds a boolean CEL expression over `variables` (name -> CEL type name).

        expr: Annotated[str, Expr({"table.rows": "int"})]

    Type names: bool, int, double, string, duration, list, map. The expression is compiled and typed at load.
    """

    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reads:
    """Marks a params field of type str that names a file which the step will read, relative to the scenario.

        manifest: Annotated[str, Reads(check_manifest)]

    `check(path, given)` looks at the file when the scenario is loaded, and raises an OffbusError that says what is
    wrong with it: a finding. `given` are the step's params, as far as they are known. A file that the scenario may not
    name (`offbus.named_files`) is a finding without it; a step that reads one whose name only the run knows asks there.
    """

    check: Callable[[Path, Mapping[str, Any]], None]


class Context(Recorder, Protocol):
    """What a step is given."""

    @property
    def step(self) -> str:
        """This step's id."""

    @property
    def environment(self) -> "Environment":
        """What the run acts on; steps narrow it with their own port (offbus_steps.cluster.cluster.cluster_of)."""

    @property
    def scenario_dir(self) -> str:
        """The folder of the scenario file: relative paths in params are relative to it (`offbus.named_files`)."""

    @property
    def run_dir(self) -> str:
        """The run's own folder, mode 0700: collected logs and artefacts go below it."""

    @property
    def log(self) -> "FilteringBoundLogger":
        """A structlog logger with run and step bound."""

    async def undo(self, undo: "Undo") -> None:
        """Journal (fsync) and acknowledge an undo *before* the effect. Raises StepError if it may not go ahead: the
        run is being stopped, the journal cannot be written, or a lease was lost (`HoldsLeases.may_change`)."""

    async def amend(self, recorded: "Undo", amended: "Undo") -> None:
        """Replace the record of an undo of this step by one that knows what only the effect could tell: a uid.

        Call it right after the effect. Before it returns a recovery may have either record, so the first one must be
        enough to undo by. Raises StepError when it cannot be recorded; the first one counts then.
        """

    async def secret(self, one: "Secret") -> str:
        """The value of a secret input. Raises StepError. It belongs in no output, message, metric or undo.

        Whatever the run tells or writes of others' texts has it no more, from then on (offbus.masking).
        """

    def without_secrets(self, text: str) -> str:
        """A text of somebody who was sent a secret, without the values of all that the run has read: before a step
        cuts it, or writes it to a file of its own. What goes through the recorder, or is raised, needs none."""

    def ready(self) -> None:
        """A background step is ready: steps that need it may start."""

    async def stopped(self) -> None:
        """Wait until a background step is asked to stop. Returns then; the step ends by itself, bounded by 10 s."""

    def progress(self, text: str) -> None:
        """What this step is doing or waiting for, for the live view. Not journaled."""

    async def sleep(self, duration: timedelta) -> None:
        """Sleep on the engine's clock (virtual in tests)."""

    def now_ns(self) -> int:
        """The runner's monotonic clock, as in `Recorded.mono_ns`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepType:
    """A registered type of step. Checked when made: a mistake is an error at import, naming the type."""

    name: str
    """Ours are single words; those of other packages should begin with the package's and a dot or a slash,
    "acme.reboot": then editors with the published schema take them."""
    kind: Kind
    summary: str
    """One line; the module or function docstring of `run` is the long text of `offbus steps NAME`."""
    params: type[Params]
    outputs: type[Outputs]
    run: Run | str
    """What runs it, or a reference to that: "package.module:function". `load_run` returns it."""
    timeout: timedelta = timedelta(minutes=5)
    """Default; covers all attempts."""
    injects: bool = False
    """Injects a fault: never retried unless asked, and counted for the vacuous verdict."""
    background: bool = False
    """May (and usually does) run with `background: true`: calls `ctx.ready()`, ends soon after `ctx.stopped()`."""
    metrics: Mapping[str, Metric | str] = field(default_factory=dict)
    """Metrics that it emits, by name; of one that is only a CEL type name nothing else is known. They become
    `metrics.NAME`."""
    access: Collection[Any] = frozenset()
    """The access to its environment that it needs, its undos apart; only the environment knows what it means."""
    waits_for: Collection[Any] = frozenset()
    """What others have to do for it to pass; only the environment knows what it means, and refuses, in `offbus plan`, a
    step that waits for what nobody there will do."""
    touches: Touches | str | None = None
    """What it would touch, for `offbus plan`; or a reference to that. None: it only looks at what it is given."""
    preflight: "Preflight | str | None" = None
    """Its own part of the environment's preflight; or a reference to that. None: nothing is known before the run."""
    examples: Sequence[str] = ()
    """YAML snippets for the docs; each is loaded by a test."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"step type {self.name!r}: the name must be lower-case identifiers, with . or / between them"
            )
        for what, model, base in (("params", self.params, Params), ("outputs", self.outputs, Outputs)):
            if not issubclass(model, base):
                raise TypeError(f"step type {self.name}: {what} must be a subclass of {base.__name__}")
        for what, one in (("run", self.run), ("touches", self.touches), ("preflight", self.preflight)):
            if one is None and what != "run":
                continue
            if not (is_reference(one) if isinstance(one, str) else callable(one)):
                raise ValueError(
                    f"step type {self.name}: {what} must be a function or 'package.module:function', not {one!r}"
                )

        try:
            self.measures()
        except ValueError as err:
            raise ValueError(f"step type {self.name}: metrics: {err}") from err

    def measures(self) -> dict[str, Metric]:
        """Its metrics' declarations, by name."""
        return {name: as_metric(one) for name, one in self.metrics.items()}

    def load_run(self) -> Run:
        """What runs it; a reference is imported. Raises CouldNotRun naming the type."""
        found: Run = self._loaded("be run", self.run)
        return found

    def load_touches(self) -> Touches | None:
        """What tells what it would touch. Raises CouldNotRun naming the type."""
        found: Touches | None = None if self.touches is None else self._loaded("be planned", self.touches)
        return found

    def load_preflight(self) -> "Preflight | None":
        """Its own part of the preflight. Raises CouldNotRun naming the type."""
        found: Preflight | None = (
            None if self.preflight is None else self._loaded("be planned", self.preflight)
        )
        return found

    def _loaded(self, purpose: str, given: Callable[..., Any] | str) -> Any:
        if not isinstance(given, str):
            return given
        try:
            found = resolve(given)
        except Exception as err:  # an import runs the package's code: it may raise anything
            raise self._cannot(purpose, given, f"{type(err).__name__}: {err}") from err
        if not callable(found):
            raise self._cannot(purpose, given, f"it is not a function, but {found!r}"[:500])
        return found

    def _cannot(self, purpose: str, given: str, why: str) -> CouldNotRun:
        return CouldNotRun(
            f"step type {self.name!r} cannot {purpose}: {given} cannot be loaded: {why}",
            hint="fix or uninstall the package that provides it",
        )
