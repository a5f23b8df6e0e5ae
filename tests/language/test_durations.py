"""Durations are read exactly or refused, and what is printed is read back to the same value."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from offbus.durations import LONGEST, PATTERN, Duration, format_duration, parse_duration

READS = {
    "90s": timedelta(seconds=90),
    "1h30m": timedelta(minutes=90),
    "500ms": timedelta(milliseconds=500),
    "1.5s": timedelta(milliseconds=1500),
    "0.25ms": timedelta(microseconds=250),
    "2d": timedelta(days=2),
    "1d2h3m4s5ms6us": timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5, microseconds=6),
    "0s": timedelta(0),
    "3650d": LONGEST,
}

REFUSED = {
    "": "empty",
    "90": "not a duration",
    "s": "not a duration",
    "1x": "not a duration",
    "-1s": "not a duration",
    "1 s": "not a duration",
    "1s ": "not a duration",
    "1S": "not a duration",
    "१s": "not a duration",
    "30s1m": "from large to small",
    "1s1s": "each once",
    "1.5h30m": "only its last part",
    "0.1us": "finer than a microsecond",
    "1.0000001s": "finer than a microsecond",
    "3651d": "longer than 3650 days",
    "99999999999999999999s": "not a duration",
}


@pytest.mark.parametrize(("text", "value"), READS.items(), ids=READS.keys())
def test_reads(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=[repr(text) for text in REFUSED])
def test_refuses_and_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_what_is_printed_is_read_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@given(st.text(alphabet="0123456789.dhmsu ", max_size=12))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        value = parse_duration(text)
    except ValueError:
        return
    assert parse_duration(format_duration(value)) == value


def test_negative_durations_are_not_printed() -> None:
    with pytest.raises(ValueError, match="not negative"):
        format_duration(timedelta(seconds=-1))


class Model(BaseModel):
    wait: Duration


@pytest.mark.parametrize("value", ["90s", "PT1M30S", timedelta(seconds=90)], ids=["text", "iso", "timedelta"])
def test_the_type_takes_text_iso_and_timedeltas(value: object) -> None:
    assert Model.model_validate({"wait": value}).wait == timedelta(seconds=90)


@given(st.timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_the_type_survives_json(value: timedelta) -> None:
    model = Model(wait=value)
    assert Model.model_validate_json(model.model_dump_json()) == model


@pytest.mark.parametrize("value", [90, 1.5, None, "soon", timedelta(seconds=-1), "PT"], ids=repr)
def test_the_type_refuses(value: object) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"wait": value})


def test_the_types_schema_is_a_pattern_for_editors() -> None:
    assert Model.model_json_schema()["properties"]["wait"]["pattern"] == PATTERN
