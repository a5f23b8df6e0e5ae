"""Params that a scenario may leave out because an ancestor outputs them (`offbus.step.FromAncestor`).

A step that omits `target` takes that of its only ancestor that outputs one; none, or two, is a finding that names the
candidates. A background step has not ended when others start, so it gives nothing. Providers are carried down the plan
order once per output name, at most two per step (one, or "several", is all that must be known): linear in the steps.
"""

from collections.abc import Mapping

from offbus.language.places import Places
from offbus.language.steps import Graph, RawStep
from offbus.language.templates import Binding
from offbus.step import FromAncestor

__all__ = ["Bindings"]


class Bindings:
    """Finds who outputs what."""

    def __init__(self, graph: Graph, places: Places) -> None:
        self._graph, self._places = graph, places
        self._providers: dict[str, Mapping[str, tuple[str, ...]]] = {}

    def find(self, step: RawStep, key: str, mark: FromAncestor, *, required: bool) -> Binding | None:
        """The ancestor whose output the param `key` takes.

        None, with a finding unless it is optional, if there is not just one.
        """
        if mark.output not in self._providers:
            self._providers[mark.output] = self._carry_down(mark.output)
        providers = self._providers[mark.output][step.key]
        if len(providers) == 1:
            return Binding(key, providers[0], mark.output, mark.optional and not required)
        if providers:
            self._several(step, key, mark)
        elif required or not mark.optional:
            self._none(step, key, mark)
        return None

    def _outputs(self, step: str, output: str) -> bool:
        step_type = self._graph.steps[step].type
        return step_type is not None and output in step_type.outputs.model_fields

    def _carry_down(self, output: str) -> Mapping[str, tuple[str, ...]]:
        """For each step its ancestors that output it, at most two of them."""
        found: dict[str, tuple[str, ...]] = {}
        gives = {step for step in self._graph.steps if self._outputs(step, output)} - self._graph.background
        for step in self._graph.dag.order:
            above: dict[str, None] = {}
            for need in self._graph.dag.needs[step]:
                above.update(dict.fromkeys(found[need]))
                if need in gives:
                    above[need] = None
            found[step] = tuple(above)[:2]
        return found

    def _several(self, step: RawStep, key: str, mark: FromAncestor) -> None:
        ancestors = (a for a in self._graph.dag.ancestors(step.key) if a not in self._graph.background)
        candidates = [a for a in ancestors if self._outputs(a, mark.output)]
        message = (
            f"{key!r} is left out, and several ancestors output {mark.output!r}: {', '.join(candidates)}"
        )
        hint = f'say which: with: {{{key}: "${{{{ steps.{candidates[-1]}.outputs.{mark.output} }}}}"}}'
        self._places.note("OB307", message, self._places.value(step.node, "uses"), hint=hint)

    def _none(self, step: RawStep, key: str, mark: FromAncestor) -> None:
        if self._untyped_ancestor(step):
            return  # its type has a finding already, and might output it
        steps = self._graph.steps
        elsewhere = [
            other
            for other in steps
            if other == steps[other].model.id != step.key and self._outputs(other, mark.output)
        ]
        message = f"{key!r} is left out, and no ancestor of step {step.key!r} outputs {mark.output!r}"
        hint = f"give `with: {{{key}: …}}`"
        if elsewhere:
            hint += f", or let it need one of: {', '.join(elsewhere[:10])}"
        self._places.note("OB306", message, self._places.value(step.node, "uses"), hint=hint)

    def _untyped_ancestor(self, step: RawStep) -> bool:
        untyped = {key for key, other in self._graph.steps.items() if other.type is None}
        return bool(untyped) and any(self._graph.dag.is_ancestor(key, step.key) for key in untyped)
