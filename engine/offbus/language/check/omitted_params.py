"""Params that a scenario may leave out because an ancestor outputs them (`offbus.step.FromAncestor`).

A step that omits `target` takes that of its only ancestor that outputs one; none, or two, is a finding that names the
candidates. A background step has not ended when others start, so it does not count. Providers are carried down the plan
order once per output name, the nearest few of each step: linear in the steps, also when each has a finding.
"""

from collections.abc import Mapping, Sequence, Set

from offbus.findings.codes import Code
from offbus.language.cel.templates import Binding
from offbus.language.check.graph import Graph
from offbus.language.check.steps import RawStep
from offbus.step import FromAncestor

__all__ = ["Bindings"]


SHOWN = 10
"""Candidates that a finding names."""


class Bindings:
    """Finds which ancestor outputs what."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._order = {step: number for number, step in enumerate(graph.dag.order)}
        self._providers: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._gives: dict[str, list[str]] = {}
        self._untyped: set[str] | None = None

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
            self._several(step, key, mark, providers)
        elif required or not mark.optional:
            self._none(step, key, mark)
        return None

    def _giving(self, output: str) -> list[str]:
        """All steps that output it, in the order of the file."""
        if output not in self._gives:
            types = ((key, step.type) for key, step in self._graph.steps.items())
            self._gives[output] = [
                key for key, of in types if of is not None and output in of.outputs.model_fields
            ]
        return self._gives[output]

    def _carry_down(self, output: str) -> Mapping[str, tuple[str, ...]]:
        """For each step the nearest of its ancestors that output it, one more than are shown."""
        found: dict[str, tuple[str, ...]] = {}
        gives = set(self._giving(output)) - self._graph.background
        for step in self._graph.dag.order:
            needs = self._graph.dag.needs[step]
            above = {one for need in needs for one in found[need]} | gives.intersection(needs)
            found[step] = tuple(sorted(above, key=self._order.__getitem__)[-SHOWN - 1 :])
        return found

    def _several(self, step: RawStep, key: str, mark: FromAncestor, providers: Sequence[str]) -> None:
        shown = providers[-SHOWN:]
        names = ("…, " if len(providers) > SHOWN else "") + ", ".join(shown)
        message = f"{key!r} is left out, and several ancestors output {mark.output!r}: {names}"
        near = shown[-1].removeprefix(step.key.removesuffix(step.local)).partition(".")[0]
        hint = f'name one: with: {{{key}: "${{{{ steps.{near}.outputs.{mark.output} }}}}"}}'
        where = step.positions.value(step.node, "uses")
        step.positions.note(Code.AMBIGUOUS_OUTPUT, message, where, hint=hint)

    def _none(self, step: RawStep, key: str, mark: FromAncestor) -> None:
        if step.key in self._below_untyped():
            return  # an ancestor, or what leads to it, has a finding already, and might output it
        giving = self._giving(mark.output)[: SHOWN + 1]
        elsewhere = [
            other
            for other in giving
            if self._graph.steps[other].local == self._graph.steps[other].model.id and other != step.key
        ]
        message = f"{key!r} is left out, and no ancestor of step {step.local!r} outputs {mark.output!r}"
        hint = f"set `with: {{{key}: …}}`"
        if elsewhere:
            hint += f", or let it need one of: {', '.join(elsewhere[:SHOWN])}"
        step.positions.note(Code.MISSING_OUTPUT, message, step.positions.value(step.node, "uses"), hint=hint)

    def _below_untyped(self) -> Set[str]:
        """The steps that have an ancestor whose type is not known, or that is not known itself."""
        if self._untyped is None:
            below: set[str] = set()
            for step in self._graph.dag.order:
                needs = self._graph.dag.needs[step]
                lacks = self._graph.steps[step].lacks_needs
                if lacks or any(need in below or self._graph.steps[need].type is None for need in needs):
                    below.add(step)
            self._untyped = below
        return self._untyped
