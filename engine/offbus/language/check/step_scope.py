"""What each step means at its position in the DAG: which names it may use, its conditions, params and options.

There is one `Meaning` for each file: the scenario's own, and one for each step that inlines another. What they share is
`Shared`; what differs are the names.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from offbus.findings.codes import Code
from offbus.findings.model import Severity
from offbus.language.cel import lexer
from offbus.language.cel.expressions import Expression, Guarded
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Exported, GivenInput, Unknown, Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.graph import Graph
from offbus.language.check.inlined_inputs import read_inlined_inputs
from offbus.language.check.inputs import Inputs
from offbus.language.check.omitted_params import Bindings
from offbus.language.check.params import ParamsChecker
from offbus.language.check.parts import Files, Part
from offbus.language.check.steps import RawStep
from offbus.language.format import ID, StepModel
from offbus.language.scenario import Expectation, Retry, Step
from offbus.language.syntax.node import Node
from offbus.step import Outputs, StepType

__all__ = ["Meaning", "Shared", "exported"]

_ONCE = Retry()


def _retry(model: StepModel) -> Retry:
    if model.retry is None:
        return _ONCE
    attempts, backoff, on = model.retry.attempts, model.retry.backoff, model.retry.on
    return Retry(attempts, backoff) if on is None else Retry(attempts, backoff, frozenset(on), "failed" in on)


@dataclass(frozen=True, slots=True)
class Shared:
    """What all files of a scenario have in common."""

    graph: Graph
    metrics: Mapping[str, CelType]
    bindings: Bindings
    files: Files
    """Of the scenario that is run."""


class Meaning:
    """What the steps of one file mean, each at its position in the DAG."""

    def __init__(
        self,
        part: Part,
        shared: Shared,
        inputs: Inputs,
        conditions: Conditions,
        given: Mapping[str, GivenInput] | None = None,
        guards: tuple[Expression, ...] = (),
    ) -> None:
        """`given` and `guards` (`when`) are what the step says that inlines the file."""
        self._part, self._shared, self._graph = part, shared, shared.graph
        self._inputs, self._conditions, self._given, self._guards = inputs, conditions, given or {}, guards
        self._outputs = {
            name: None if step.type is None else step.type.outputs for name, step in part.steps.items()
        }
        self._inlined = {name: exported(inner) for name, inner in part.inlined.items()}
        self._untyped = any(step.type is None for step in shared.graph.steps.values())
        self._params = ParamsChecker(part, shared.graph, conditions, shared.bindings, shared.files)
        self._below: list[Meaning] = []

    def steps(self) -> Iterator[Step | None]:
        """All steps in the order of the files; None for what has findings."""
        for name, step in self._part.steps.items():
            if name in self._part.inlined:
                below = self._meaning_of(step, self._part.inlined[name])
                self._below.append(below)
                yield from below.steps()
            else:
                yield self._step(step)

    def expectations(self) -> Iterator[Expectation]:
        """What must be true at the end, of this file and those below; after `steps`. The step that inlines is named."""
        node = self._part.root.children.get("expect")
        everything = self._vocabulary(lambda _: None)
        for one in self._conditions.expectations(node, everything):
            if not self._part.prefix:
                yield one
                continue
            guarded = (
                Guarded(self._guards, one.expression, otherwise=True) if self._guards else one.expression
            )
            yield Expectation(f"{self._part.prefix[:-1]}: {one.text}", guarded, one.position)
        for below in self._below:
            yield from below.expectations()

    def while_it_runs(self) -> Vocabulary:
        """What `stop_when` may use: inputs, and metrics as they are measured."""
        return Vocabulary(self._inputs.types, self._shared.metrics, open_metrics=self._untyped)

    def note_unused(self) -> None:
        """Warn of inputs that nothing uses, here and below."""
        positions = self._part.positions
        for name in self._inputs.types.keys() - self._conditions.used_inputs:
            where = positions.key(self._part.root.children["inputs"], name)
            positions.note(
                Code.UNUSED_INPUT, f"the input {name!r} is never used", where, severity=Severity.WARNING
            )
        for below in self._below:
            below.note_unused()

    def _meaning_of(self, step: RawStep, inner: Part) -> "Meaning":
        """Of the file that a step inlines."""
        before = self._before(step)
        when = self._when(step, before)
        guards = self._guards if when is None else (*self._guards, when)
        inputs, given = read_inlined_inputs(step, inner, self._conditions, before)
        conditions = self._conditions.of_inlined(inner.positions, inputs.values)
        return Meaning(inner, self._shared, inputs, conditions, given, guards)

    def _vocabulary(
        self, reachable: Callable[[str], Unknown | None], outputs: type[Outputs] | None = None
    ) -> Vocabulary:
        return Vocabulary(
            self._inputs.types,
            self._shared.metrics,
            self._outputs,
            reachable,
            outputs,
            self._untyped,
            prefix=self._part.prefix,
            given=self._given,
            inlined=self._inlined,
        )

    def _before(self, step: RawStep) -> Vocabulary:
        return self._vocabulary(lambda other: self._refusal(step, other))

    def _when(self, step: RawStep, before: Vocabulary) -> Expression | None:
        node = step.node.children.get("when")
        usable = node is not None and step.model.when is not None
        return self._conditions.condition(node, before) if usable and node is not None else None

    def _step(self, step: RawStep) -> Step | None:
        node, model = step.node, step.model
        before = self._before(step)
        when = self._when(step, before)
        if step.type is None:
            return None
        params = self._params.check(step, step.type, before)
        expect: tuple[Expectation, ...] = ()
        if model.expect:
            after = self._vocabulary(lambda other: self._refusal(step, other), step.type.outputs)
            expect = self._conditions.expectations(node.children["expect"], after)
        self._options(step, step.type)
        return (
            None
            if params is None
            else Step(
                id=step.key,
                uses=model.uses,
                type=step.type,
                needs=step.needs,
                background=model.background,
                always=model.always,
                keep_going=model.keep_going,
                when=Guarded(self._guards, when, otherwise=False) if self._guards else when,
                timeout=model.timeout if model.timeout is not None else step.type.timeout,
                retry=_retry(model),
                params=params,
                expect=expect,
                position=step.positions.start_of(node),
            )
        )

    def _refusal(self, step: RawStep, other: str) -> Unknown | None:
        """Why `step` may not use what `other`, a step of the run, outputs; None if it may."""
        name = self._part.local(other) or other
        if other == step.key:
            return Unknown(
                Code.NO_ANCESTOR, f"step {name!r} is this step itself", "in `expect`, write outputs.NAME"
            )
        if not self._is_above(step, other):
            listed = [local for need in step.needs if (local := self._part.local(need)) is not None]
            needs = ", ".join(dict.fromkeys([*listed, name]))
            return Unknown(
                Code.NO_ANCESTOR,
                f"step {name!r} is not an ancestor of step {step.local!r}: it may not have ended",
                f"write needs: [{needs}]",
            )
        if other in self._graph.background and not (step.model.always or step.model.background):
            message = (
                f"step {name!r} runs in the background and has not ended yet when step {step.local!r} starts"
            )
            return Unknown(Code.STILL_RUNNING, message, "use it in the scenario's own `expect`")
        return None

    def _is_above(self, step: RawStep, other: str) -> bool:
        """Whether `other` must have ended before a step starts, or a file that it inlines."""
        if step.key in self._graph.steps:
            return self._graph.dag.is_ancestor(other, step.key)
        return any(need == other or self._graph.dag.is_ancestor(other, need) for need in step.needs)

    def _options(self, step: RawStep, step_type: StepType) -> None:
        model, node, note = step.model, step.node, step.positions.note
        if model.background and not step_type.background:
            hint = f"{step_type.name} ends by itself; leave `background` out"
            note(
                Code.EXCLUSIVE_OPTIONS,
                f"step type {step_type.name} cannot run in the background",
                step.positions.key(node, "background"),
                hint=hint,
            )
        if model.background and model.always:
            message = "a background step is stopped before `always` steps run, so it cannot be both"
            note(
                Code.EXCLUSIVE_OPTIONS,
                message,
                step.positions.key(node, "always"),
                hint="leave one of them out",
            )
        if model.background and model.retry is not None and "failed" in (model.retry.on or ()):
            where = step.positions.value(node.children["retry"], "on")
            message = "a background step is judged when it is stopped, so its `expect` is not tried again"
            note(Code.EXCLUSIVE_OPTIONS, message, where, hint="leave `on` out, or `failed` in it")
        if model.timeout is not None and not model.timeout:
            note(Code.NOT_ALLOWED, "timeout: it must be longer than 0", step.positions.value(node, "timeout"))


def exported(part: Part) -> Mapping[str, Exported]:
    """What a file lists under `outputs`; what is wrong there is noted, for each step that inlines it once."""
    node, positions = part.root.children.get("outputs"), part.positions
    if node is None or node.kind != "mapping":
        return {}
    outputs = {name: None if step.type is None else step.type.outputs for name, step in part.steps.items()}
    inlined = {name: exported(inner) for name, inner in part.inlined.items()}
    names = Vocabulary(steps=outputs, reachable=lambda _: None, prefix=part.prefix, inlined=inlined)
    steps = {one.key: one for below in part.all() for one in below.steps.values()}
    found: dict[str, Exported] = {}
    for name, child in node.children.items():
        if not re.match(ID, name) or name in lexer.KEYWORDS:
            hint = f"it must match {ID} and be no keyword of CEL"
            positions.note(
                Code.BAD_NAME, f"an output cannot be called {name!r}", positions.key(node, name), hint=hint
            )
        elif name in part.header.outputs:
            one = _exported(part, child, names, steps)
            if one is not None:
                found[name] = one
    return found


def _exported(part: Part, node: Node, names: Vocabulary, steps: Mapping[str, RawStep]) -> Exported | None:
    text = str(node.value).strip()
    chains = list(lexer.chains(lexer.tokens(text)))
    whole = len(chains) == 1 and chains[0].path == text and chains[0].parts[0] == "steps"
    bound = names.find(chains[0].parts) if whole else None
    where, hint = part.positions.of(node), "write steps.ID.outputs.NAME"
    if isinstance(bound, Unknown):
        part.positions.note(bound.code, bound.message, where, hint=bound.hint, suggestion=bound.suggestion)
    elif bound is None or bound.rest == "outcome":
        part.positions.note(Code.BAD_OUTPUT, "an output is the name of an output of a step", where, hint=hint)
    else:
        step = steps[bound.step]
        model = None if step.type is None else step.type.outputs
        return Exported(bound.step, tuple(bound.rest.split(".")), model)
    return None
