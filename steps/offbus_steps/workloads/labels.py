"""Labels and what selects them: one rule set for workloads, budgets, lists, affinity and topology.

Kubernetes has three forms: the text of a list ("a=b,c!=d,e in (f,g),!h"), LabelSelector (matchLabels and
matchExpressions of workloads, budgets, pod affinity), and the expressions of node affinity, which may compare numbers
(Gt, Lt). A label that is absent matches NotIn, != and DoesNotExist only (k8s.io/apimachinery, pkg/labels, selector.go).
A selector that is null selects nothing, and an empty one everything. Pure; Kubernetes' own shapes.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.port import Invalid

__all__ = [
    "Expression",
    "Labels",
    "Selector",
    "expression_of",
    "labels_of",
    "matches",
    "parse_selector",
    "selector_text",
    "selects",
]

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"[A-Za-z0-9._-]*"
_TERM = re.compile(
    rf"\s*(?:!\s*(?P<absent>{_NAME})|(?P<key>{_NAME})"
    rf"(?:\s*(?P<sign>==|=|!=|>|<)\s*(?P<value>{_VALUE})|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*"
)
_SIGNS = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt", "in": "In", "notin": "NotIn"}


class Expression(BaseModel):
    """One entry of matchExpressions."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    key: str = Field(description="Of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How it is compared.")
    values: tuple[str, ...] = Field(default=(), description="With what, for In and NotIn.")

    def matches(self, labels: Labels) -> bool:
        """Whether it is true of these labels."""
        return _holds(self.operator, labels.get(self.key), self.values)


def expression_of(given: Mapping[str, Any]) -> Expression:
    """An entry of matchExpressions. Raises Invalid for what Kubernetes would refuse."""
    try:
        known = {key: given[key] for key in ("key", "operator", "values") if given.get(key) is not None}
        return Expression.model_validate(known)
    except (ValueError, AttributeError) as err:
        raise Invalid(f"matchExpressions holds {given!r}, which is no selector's expression") from err


def labels_of(obj: Mapping[str, Any]) -> Labels:
    """The labels of an object; none is the empty mapping."""
    labels: Labels = obj["metadata"].get("labels") or {}
    return labels


def selects(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a LabelSelector selects an object with these labels. Raises Invalid, as `matches`."""
    if selector is None:
        return False
    equal = (selector.get("matchLabels") or {}).items() <= labels.items()
    return equal and all(matches(one, labels) for one in selector.get("matchExpressions") or ())


def matches(expression: Mapping[str, Any], labels: Labels) -> bool:
    """One entry of matchExpressions or of node affinity. Raises Invalid for an operator that does not exist."""
    values = [str(one) for one in expression.get("values") or ()]
    return _holds(expression["operator"], labels.get(expression["key"]), values)


def parse_selector(text: str) -> Selector:
    """A predicate on labels, of the text of a list or watch. Raises Invalid with the part that cannot be read."""
    expressions: list[Mapping[str, Any]] = []
    position = 0
    while text.strip() and position <= len(text):
        found = _TERM.match(text, position)
        end = found.end() if found else len(text)
        if found is None or (end < len(text) and text[end] != ","):
            raise Invalid(
                f"label selector term {text[position:].strip()!r} cannot be read",
                hint='use "a=b", "a!=b", "a in (b,c)", "a notin (b,c)", "a" or "!a", with commas between',
            )
        sign = found["sign"] or found["set"]
        if found["absent"]:
            expressions.append({"key": found["absent"], "operator": "DoesNotExist"})
        elif sign is None:
            expressions.append({"key": found["key"], "operator": "Exists"})
        else:
            listed = found["values"].split(",") if found["set"] else [found["value"]]
            values = [one.strip() for one in listed]
            expressions.append({"key": found["key"], "operator": _SIGNS[sign], "values": values})
        position = end + 1
    return lambda labels: all(matches(one, labels) for one in expressions)


def selector_text(labels: Labels, expressions: Iterable[Expression] = ()) -> str:
    """What a list takes: the reverse of `parse_selector`."""
    terms = [f"{key}={value}" for key, value in labels.items()]
    for one in expressions:
        listed = f"({','.join(one.values)})"
        forms = {"In": f"{one.key} in {listed}", "NotIn": f"{one.key} notin {listed}", "Exists": one.key}
        terms.append(forms.get(one.operator, f"!{one.key}"))
    return ",".join(terms)


def _holds(operator: str, value: str | None, values: Sequence[str]) -> bool:
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                (limit,) = map(int, values)
                number = int(value or "")
            except ValueError:  # what is no whole number is neither more nor less
                return False
            return number > limit if operator == "Gt" else number < limit
    raise Invalid(f"selector operator {operator!r} is not In, NotIn, Exists, DoesNotExist, Gt or Lt")
