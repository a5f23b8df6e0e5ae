"""Label selectors: the textual form of a list or watch, and the `matchLabels` form of workloads.

Kubernetes' equality form is supported ("a=b,c!=d,e,!f"); set-based terms ("a in (b)") are refused as
`Invalid` rather than matched wrongly.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from offbus_steps.port import Invalid

__all__ = ["Selector", "labels_of", "matches_spec", "parse_selector"]

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
TERM = re.compile(rf"(?P<no>!)?(?P<key>{KEY})(?:\s*(?P<op>==|=|!=)\s*(?P<value>[A-Za-z0-9._-]*))?")


def parse_selector(text: str) -> Selector:
    """A predicate on labels. Raises Invalid with the term that is not supported."""
    terms = [parse_term(part.strip()) for part in text.split(",") if part.strip()]
    return lambda labels: all(term(labels) for term in terms)


def parse_term(term: str) -> Selector:
    """One requirement of a selector."""
    found = TERM.fullmatch(term)
    if found is None or (found["no"] and found["op"]):
        raise Invalid(f"label selector term {term!r} is not supported", hint='use "a=b", "a!=b", "a" or "!a"')
    key, op, value = found["key"], found["op"], found["value"]
    if op is None:
        return (lambda labels: key not in labels) if found["no"] else (lambda labels: key in labels)
    if op == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: labels.get(key) == value


def labels_of(obj: Mapping[str, Any]) -> Labels:
    """The labels of an object; none is the empty mapping."""
    labels: Labels = obj["metadata"].get("labels") or {}
    return labels


def matches_spec(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a workload's or budget's `selector` selects `labels`; the empty one selects everything."""
    spec = selector or {}
    equal = all(labels.get(key) == value for key, value in (spec.get("matchLabels") or {}).items())
    return equal and all(matches_expression(e, labels) for e in spec.get("matchExpressions") or ())


def matches_expression(expression: Mapping[str, Any], labels: Labels) -> bool:
    """One `matchExpressions` entry. Raises Invalid for an operator that Kubernetes does not have."""
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or ()
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise Invalid(f"selector operator {operator!r} is not In, NotIn, Exists or DoesNotExist")
