"""What offbus adds to CEL's own operators and functions: what drills compute with durations and measured numbers.

    duration / duration -> double        duration * number, number * duration, duration / number -> duration
    duration.seconds() -> double         min(a, b, …), max(a, b, …) of integers, doubles, durations or timestamps
    list.quantile(0.95)                  min(list), max(list) of integers or doubles

A quantile is a nearest rank, so always a measured value. What has no value (a division by a duration of zero, a
quantile of nothing, a duration longer than CEL has) is an error of the expression.

The library lets nobody add to an operator. So the operators that are used are left out of its standard library and
declared again: its own overloads by the ids that it knows them by, without an implementation, so that it keeps its own
(seen with cel-expr-python 0.1.3), and ours with one. Of lists it tells at run time only that they are lists: one
implementation answers for all, under a type that no expression has, and the others only type.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from offbus.findings.codes import Code
from offbus.language.cel import types
from offbus.language.cel.lexer import Token
from offbus.language.cel.trouble import Trouble
from offbus.language.cel.vocabulary import Bound

__all__ = ["FUNCTIONS", "OPERATORS", "additions", "surprises", "used_in"]

T = TypeVar("T")

FUNCTIONS = frozenset(("min", "max", "seconds", "quantile"))
OPERATORS: Mapping[str, str] = {"/": "divide", "*": "multiply"}
"""As expressions spell them -> how the ids of their overloads begin (cel-spec, "List of Standard Definitions")."""
MOST_GIVEN = 6
"""Arguments of `min` and `max`."""
LONGEST = timedelta(seconds=315_576_000_000)
"""CEL's: google/protobuf/duration.proto, about 10,000 years."""
_SURPRISING: Mapping[str, str] = {
    "getMilliseconds": "is what a duration has beside its whole seconds: 500 for 1500 ms",
    "getSeconds": "is a duration's whole seconds: 1 for 1500 ms",
}


def used_in(tokens: Sequence[Token]) -> frozenset[str]:
    """Which of these operators and functions an expression uses; others are not declared for it."""
    return frozenset(token.text for token in tokens if token.kind in ("name", "other")) & (
        FUNCTIONS | OPERATORS.keys()
    )


def additions(cel: Any, used: frozenset[str]) -> dict[str, Any]:
    """Arguments of the library's `NewEnv`; `cel` is the library."""
    operators = sorted(used & OPERATORS.keys())
    declared = [_operator(cel, one) for one in operators] + [
        _function(cel, one) for one in sorted(used & FUNCTIONS)
    ]
    if not operators:
        return {"functions": declared}
    left_out = "".join(f'\n    - name: "_{one}_"' for one in operators)
    config = cel.NewEnvConfigFromYaml(f"stdlib:\n  exclude_functions:{left_out}\n")
    return {"config": config, "functions": declared}


def surprises(found: Sequence[Token], names: Sequence[Bound]) -> list[Trouble]:
    """Functions of CEL that are asked of a duration and do not tell what their names say."""
    timestamps = {name.path for name in names if name.type == types.TIMESTAMP}
    troubles = []
    for at in range(2, len(found) - 1):
        token = found[at]
        if token.text not in _SURPRISING or found[at - 1].text != "." or found[at + 1].text != "(":
            continue
        if _receiver(found, at - 2) in {*timestamps, "timestamp()"}:
            continue
        message = f"{token.text}() {_SURPRISING[token.text]}"
        hint = "all of it as a number of seconds: .seconds()"
        troubles.append(Trouble(Code.SURPRISING_FUNCTION, message, token.start, len(token.text), hint))
    return troubles


def _receiver(found: Sequence[Token], at: int) -> str:
    """What ends at a token: a dotted name, or a call as `name()`."""
    if found[at].text == ")":
        depth = 0
        for back in range(at, 0, -1):
            depth += (found[back].text == ")") - (found[back].text == "(")
            if not depth:
                return f"{found[back - 1].text}()"
    parts = [found[at].text]
    while at >= 2 and found[at - 1].text == "." and found[at - 2].kind == "name":
        at -= 2
        parts.insert(0, found[at].text)
    return ".".join(parts)


def _operator(cel: Any, operator: str) -> Any:
    of, name = cel.Type, OPERATORS[operator]
    own = [
        cel.Overload(id=f"{name}_{word}", return_type=kind, parameters=[kind, kind])
        for word, kind in (("int64", of.INT), ("uint64", of.UINT), ("double", of.DOUBLE))
    ]
    if operator == "/":
        ours = [
            _overload(cel, "offbus_ratio", of.DOUBLE, [of.DURATION, of.DURATION], _ratio),
            _overload(cel, "offbus_part", of.DURATION, [of.DURATION, of.DOUBLE], _part),
            _overload(cel, "offbus_part_int", of.DURATION, [of.DURATION, of.INT], _part),
        ]
    else:
        ours = [
            _overload(cel, "offbus_times", of.DURATION, [of.DURATION, of.DOUBLE], _times),
            _overload(cel, "offbus_times_int", of.DURATION, [of.DURATION, of.INT], _times),
            _overload(cel, "offbus_times_of", of.DURATION, [of.DOUBLE, of.DURATION], _times_of),
            _overload(cel, "offbus_times_of_int", of.DURATION, [of.INT, of.DURATION], _times_of),
        ]
    return cel.FunctionDecl(f"_{operator}_", [*own, *ours])


def _function(cel: Any, name: str) -> Any:
    of = cel.Type
    numbers = (of.INT, of.DOUBLE)
    if name == "seconds":
        whole = _overload(
            cel, "offbus_seconds", of.DOUBLE, [of.DURATION], timedelta.total_seconds, member=True
        )
        return cel.FunctionDecl(name, [whole])
    if name == "quantile":
        return cel.FunctionDecl(name, _of_lists(cel, name, numbers, [of.DOUBLE], _quantile, member=True))

    def extreme(*values: Any) -> Any:
        return (min if name == "min" else max)(_ordered(f"{name}()", values))

    several = [
        _overload(cel, f"offbus_{name}_{number}_{kind.name()}", kind, [kind] * number, extreme)
        for kind in (*numbers, of.DURATION, of.TIMESTAMP)
        for number in range(2, MOST_GIVEN + 1)
    ]

    def of_list(values: Any) -> Any:
        return extreme(*_numbers(f"{name}()", values))

    return cel.FunctionDecl(name, [*several, *_of_lists(cel, name, numbers, [], of_list)])


def _of_lists(
    cel: Any,
    name: str,
    kinds: Sequence[Any],
    more: Sequence[Any],
    call: Callable[..., Any],
    *,
    member: bool = False,
) -> list[Any]:
    never = cel.Type.List(cel.Type.AbstractType("offbus.Never"))
    answers = _overload(cel, f"offbus_{name}_list", cel.Type.DYN, [never, *more], call, member=member)
    return [
        answers,
        *(
            cel.Overload(
                id=f"offbus_{name}_list_{kind.name()}",
                return_type=kind,
                parameters=[cel.Type.List(kind), *more],
                is_member=member,
            )
            for kind in kinds
        ),
    ]


def _overload(
    cel: Any, name: str, gives: Any, takes: Sequence[Any], call: Callable[..., Any], *, member: bool = False
) -> Any:
    return cel.Overload(id=name, return_type=gives, parameters=list(takes), is_member=member, impl=call)


def _ratio(one: timedelta, other: timedelta) -> float:
    if not other:
        raise ValueError("a duration is divided by a duration of 0s")
    return one / other


def _part(whole: timedelta, number: float) -> timedelta:
    if not number:
        raise ValueError("a duration is divided by 0")
    try:
        return _bounded(whole / number)
    except (OverflowError, ValueError) as err:
        raise ValueError(f"a duration divided by {number} is no duration") from err


def _times_of(number: float, duration: timedelta) -> timedelta:
    return _times(duration, number)


def _times(duration: timedelta, number: float) -> timedelta:
    try:
        return _bounded(duration * number)
    except (OverflowError, ValueError) as err:
        raise ValueError(f"a duration times {number} is no duration") from err


def _bounded(value: timedelta) -> timedelta:
    if abs(value) > LONGEST:
        raise OverflowError
    return value


def _numbers(said: str, values: Any) -> list[int | float]:
    found = list(values)
    if not found:
        raise ValueError(f"{said} of an empty list")
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in found):
        raise ValueError(f"{said} of a list takes numbers")
    return found


def _ordered(said: str, values: Sequence[T]) -> Sequence[T]:
    """NaN is neither larger nor smaller than a number: which one is found would depend on where it stands."""
    if any(value != value for value in values):  # true of NaN alone
        raise ValueError(f"{said} of what is no number (NaN)")
    return values


def _quantile(values: Any, share: float) -> int | float:
    found = sorted(_ordered("quantile()", _numbers("quantile()", values)))
    if not 0 < share <= 1:
        raise ValueError(f"quantile({share}): it must be greater than 0 and at most 1")
    return found[max(0, math.ceil(len(found) * share) - 1)]
