"""Amounts and counts as Kubernetes reads them: quantities such as "1000m", and fields that may be empty.

Grammar and rounding are those of k8s.io/apimachinery, pkg/api/resource/quantity.go (ParseQuantity, release 0.34): a
signed decimal number, then a decimal suffix (n u m k M G T P E), a binary one (Ki Mi Gi Ti Pi Ei) or an exponent; what
lies between two billionths is rounded away from zero. JSON numbers are read by their text, and null is 0
(Quantity.UnmarshalJSON). Numbers that would take more than a few hundred bytes are refused, where Kubernetes caps
them. Pure.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Any

__all__ = ["SHARE", "count", "quantity", "share", "whole"]

SHARE = "25%"
"""What a Deployment's maxSurge and maxUnavailable are where nothing is written (apps/v1 RollingUpdateDeployment)."""

_FORM = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{0,60})(?:\.(?P<part>[0-9]{0,60}))?"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<power>[+-]?[0-9]{1,2}))?"
)
_NANO = 10**9
_POWERS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def quantity(value: Any) -> Fraction:
    """The amount, exact to a billionth. Raises ValueError for what Kubernetes does not take for one."""
    if value is None:
        return Fraction(0)
    # a number as it stands in JSON; what is neither that nor a string is no quantity
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**60
    found = _parsed(value if isinstance(value, str) else repr(value) if number else "")
    if found is None:
        shown = repr(value)[:80] if isinstance(value, str | float | bool) else type(value).__name__
        raise ValueError(f"{shown} is not a quantity such as 1 or 500m")
    return found


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Fraction | None:
    """None for what is no quantity. Kept: the nodes and pods of a cluster have the same few amounts."""
    found = _FORM.fullmatch(text)
    if found is None or not text:
        return None
    digits, part = found["whole"], found["part"] or ""
    size = Fraction(int(f"{digits}{part}" or "0"), 10 ** len(part))
    if found["suffix"] in _BINARY:
        size *= 1 << _BINARY[found["suffix"]]
    else:
        size *= Fraction(10) ** (int(found["power"] or 0) + _POWERS.get(found["suffix"] or "", 0))
    rounded = Fraction(ceil(size * _NANO), _NANO)
    return -rounded if found["sign"] == "-" else rounded


def whole(value: Any) -> int:
    """An amount of something that cannot be divided. Raises ValueError for a fraction, or less than none."""
    amount = quantity(value)
    if amount < 0 or amount.denominator != 1:
        raise ValueError(f"{value!r} is not a whole number of 0 or more")
    return int(amount)


def count(fields: Mapping[str, Any], key: str, default: int) -> int:
    """A field of pods or replicas: null, as `replicas:` without a value gives it, is absent. May raise ValueError."""
    value = fields.get(key)
    return default if value is None else int(value)


def share(value: Any, of: int, *, up: bool = False, default: str | int = SHARE) -> int:
    """Kubernetes' IntOrString: a number, or a percentage of `of`, rounded down or up. May raise ValueError.

    Rounded as GetScaledValueFromIntOrPercent does (k8s.io/apimachinery, pkg/util/intstr): down for maxUnavailable of a
    rolling update, up for its maxSurge and for disruption budgets.
    """
    text = str(default if value is None else value)
    if not text.endswith("%"):
        return int(text)
    part = int(text[:-1]) * of
    return -(-part // 100) if up else part // 100
