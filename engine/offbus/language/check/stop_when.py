"""`stop_when`: conditions over live metrics that stop a run, compiled and typed when the scenario is loaded."""

from collections.abc import Iterator

from offbus.findings.codes import Code
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.format import HeaderModel, StopModel
from offbus.language.scenario import StopCondition
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions

__all__ = ["read_stop_conditions"]


def read_stop_conditions(
    root: Node, header: HeaderModel, vocabulary: Vocabulary, conditions: Conditions, positions: Positions
) -> tuple[StopCondition, ...]:
    """All stop conditions that are in order; what is wrong with the others is noted."""
    node = root.children.get("stop_when")
    if node is None or node.kind != "sequence":
        return ()
    found = zip(header.stop_when, node.children.values(), strict=False)
    return tuple(
        one for model, item in found for one in _read(model, item, vocabulary, conditions, positions)
    )


def _read(
    model: StopModel, item: Node, vocabulary: Vocabulary, conditions: Conditions, positions: Positions
) -> Iterator[StopCondition]:
    node = item.children["expr"]
    expression = conditions.condition(node, vocabulary)
    if expression is None:
        return
    if not any(name.root == "metrics" for name in expression.names):
        hint = "a step has `when` for what is known before the run"
        positions.note(
            Code.UNKNOWN_NAME,
            "this condition names no metric, so nothing would ever change it",
            positions.of(node),
            hint=hint,
        )
        return
    yield StopCondition(model.expr, expression, model.for_, expression.position)
