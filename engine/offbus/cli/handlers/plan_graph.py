"""A plan as a graph: mermaid (GitHub and GitLab show it in Markdown), and dot (Graphviz).

An arrow leads from what must have passed to what waits for it. A background step has a rounded box, one that always
runs a double border, and the arrows of the critical path are thick.
"""

from collections.abc import Callable, Iterator, Mapping

from offbus.durations import format_duration
from offbus.language.plan import Plan, PlannedStep
from offbus.printable import printable

__all__ = ["GRAPHS"]


def _mermaid(plan: Plan) -> str:
    lines = ["flowchart TD"]
    for planned in plan.steps:
        opened, closed = (
            ("([", "])") if planned.step.background else ("[[", "]]") if planned.step.always else ("[", "]")
        )
        # an id of a step may be a keyword of mermaid (`end`), so each has a letter before it
        label = _label(planned, "<br/>").replace("&", "#amp;").replace('"', "#quot;")
        lines.append(f'  s_{planned.step.id}{opened}"{label}"{closed}')
    lines += [f"  s_{need} {'==>' if thick else '-->'} s_{step}" for need, step, thick in _arrows(plan)]
    return "\n".join(lines)


def _dot(plan: Plan) -> str:
    lines = ["digraph plan {"]
    for planned in plan.steps:
        looks = (
            ", style=rounded" if planned.step.background else ", peripheries=2" if planned.step.always else ""
        )
        label = _label(planned, "\n").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'  "{planned.step.id}" [shape=box, label="{label}"{looks}];')
    lines += [
        f'  "{need}" -> "{step}"{" [penwidth=3]" if thick else ""};' for need, step, thick in _arrows(plan)
    ]
    return "\n".join([*lines, "}"])


GRAPHS: Mapping[str, Callable[[Plan], str]] = {"mermaid": _mermaid, "dot": _dot}
"""Format -> what prints it."""


def _arrows(plan: Plan) -> Iterator[tuple[str, str, bool]]:
    """(need, step, whether it is part of the critical path)."""
    critical = set(zip(plan.critical, plan.critical[1:], strict=False))
    for planned in plan.steps:
        for need in planned.step.needs:
            yield need, planned.step.id, (need, planned.step.id) in critical


def _label(planned: PlannedStep, line_break: str) -> str:
    step = planned.step
    return f"{step.id}{line_break}{printable(step.uses)}{line_break}at most {format_duration(step.timeout)}"
