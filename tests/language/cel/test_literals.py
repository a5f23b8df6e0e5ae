"""A literal that a function of CEL's own refuses is found when the scenario is loaded, not in the drill."""

import pytest

from offbus.findings.codes import Code
from offbus.findings.model import Position
from offbus.language.cel.expressions import Compiler, Expression
from offbus.language.cel.types import DURATION
from offbus.language.cel.vocabulary import Vocabulary

KNOWN = Vocabulary(variables={"took": DURATION})


def compiled(text: str):
    return Compiler().compile(text, KNOWN, Position("a.yaml"))


@pytest.mark.parametrize(
    ("text", "said", "suggestion"),
    [
        ('took < duration("1d")', 'duration("1d")', '"24h"'),
        ("took < duration('1d30m')", "duration('1d30m')", '"88200s"'),
        ('took < duration("5")', 'duration("5")', None),
        ('true || took < duration("")', 'duration("")', None),
        ('timestamp("today") > timestamp("2026-01-31T12:00:00Z")', 'timestamp("today")', None),
        ('int("x") == 1', 'int("x")', None),
        ('uint("-1") == 1u', 'uint("-1")', None),
        ('double("z") > 1.0', 'double("z")', None),
        ('bool("maybe")', 'bool("maybe")', None),
        ('"a".matches("(")', 'matches("(")', None),
    ],
)
def test_it_is_found_where_it_stands(text: str, said: str, suggestion: str | None) -> None:
    [found] = compiled(text)
    assert found.code is Code.NOT_EVALUABLE
    assert said in found.message
    assert text[found.start : found.start + found.length] in said
    assert found.suggestion == suggestion


def test_all_of_them_are_found() -> None:
    assert len(compiled('took < duration("1d") || took < duration("2d")')) == 2


@pytest.mark.parametrize(
    "text",
    [
        'took < duration("24h")',
        'took < duration("-1.5h")',
        'timestamp("2026-01-31T12:00:00Z") == timestamp("2026-01-31T13:00:00+01:00")',
        '"a".matches("^a$")',
        'int("7") == 7',
        '"1d" == "1d"',
    ],
)
def test_what_has_a_value_stays_allowed(text: str) -> None:
    assert isinstance(compiled(text), Expression)
