"""What each step means at its position in the DAG: which names it may use, its conditions, params and options."""

from collections.abc import Callable, Mapping

from offbus.findings.codes import Code
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Unknown, Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.inputs import Inputs
from offbus.language.check.params import ParamsChecker
from offbus.language.check.steps import Graph, RawStep
from offbus.language.scenario import Expectation, Retry, Step
from offbus.language.syntax.positions import Positions
from offbus.step import Outputs, StepType

__all__ = ["Meaning"]

_ONCE = Retry()


class Meaning:
    """What the steps mean, each at its position in the DAG."""

    def __init__(
        self,
        graph: Graph,
        inputs: Inputs,
        metrics: Mapping[str, CelType],
        positions: Positions,
        conditions: Conditions,
    ) -> None:
        self._graph, self._inputs, self._metrics = graph, inputs, metrics
        self._positions, self._conditions = positions, conditions
        self._outputs = {
            key: None if step.type is None else step.type.outputs for key, step in graph.steps.items()
        }
        self._untyped = any(step.type is None for step in graph.steps.values())
        self._params = ParamsChecker(graph, positions, conditions)

    def steps(self) -> list[Step | None]:
        """All steps in file order; None for what has findings."""
        return [self._step(step) for step in self._graph.steps.values()]

    def at_the_end(self) -> Vocabulary:
        """What the scenario's own `expect` may use: everything, all steps have ended."""
        return self._vocabulary(lambda _: None)

    def while_it_runs(self) -> Vocabulary:
        """What `stop_when` may use: inputs, and metrics as they are measured."""
        return Vocabulary(self._inputs.types, self._metrics, open_metrics=self._untyped)

    def _vocabulary(
        self, reachable: Callable[[str], Unknown | None], outputs: type[Outputs] | None = None
    ) -> Vocabulary:
        return Vocabulary(self._inputs.types, self._metrics, self._outputs, reachable, outputs, self._untyped)

    def _step(self, step: RawStep) -> Step | None:
        node, model = step.node, step.model
        before = self._vocabulary(lambda other: self._refusal(step, other))
        when_node = node.children.get("when")
        usable = when_node is not None and model.when is not None
        when = self._conditions.condition(when_node, before) if usable and when_node is not None else None
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
                id=model.id,
                uses=model.uses,
                type=step.type,
                needs=step.needs,
                background=model.background,
                always=model.always,
                keep_going=model.keep_going,
                when=when,
                timeout=model.timeout if model.timeout is not None else step.type.timeout,
                retry=_ONCE if model.retry is None else Retry(model.retry.attempts, model.retry.backoff),
                params=params,
                expect=expect,
                position=self._positions.start_of(node),
            )
        )

    def _refusal(self, step: RawStep, other: str) -> Unknown | None:
        """Why `step` may not use what `other` outputs; None if it may."""
        if other == step.key:
            return Unknown(
                Code.NO_ANCESTOR, f"step {other!r} is this step itself", "in `expect`, write outputs.NAME"
            )
        if not self._graph.dag.is_ancestor(other, step.key):
            needs = ", ".join([*step.needs, other])
            return Unknown(
                Code.NO_ANCESTOR,
                f"step {other!r} is not an ancestor of step {step.key!r}: it may not have ended",
                f"write needs: [{needs}]",
            )
        if other in self._graph.background and not (step.model.always or step.model.background):
            message = (
                f"step {other!r} runs in the background and has not ended yet when step {step.key!r} starts"
            )
            return Unknown(Code.STILL_RUNNING, message, "use it in the scenario's own `expect`")
        return None

    def _options(self, step: RawStep, step_type: StepType) -> None:
        model, node, note = step.model, step.node, self._positions.note
        if model.background and not step_type.background:
            hint = f"{step_type.name} ends by itself; leave `background` out"
            note(
                Code.EXCLUSIVE_OPTIONS,
                f"step type {step_type.name} cannot run in the background",
                self._positions.key(node, "background"),
                hint=hint,
            )
        if model.background and model.always:
            message = "a background step is stopped before `always` steps run, so it cannot be both"
            note(
                Code.EXCLUSIVE_OPTIONS,
                message,
                self._positions.key(node, "always"),
                hint="leave one of them out",
            )
        if model.timeout is not None and not model.timeout:
            note(
                Code.NOT_ALLOWED, "timeout: it must be longer than 0", self._positions.value(node, "timeout")
            )
