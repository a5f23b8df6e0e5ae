"""Declarations of metrics and lanes: checked where they are made, carried by the journal, and harmless when forged."""

from pathlib import Path
from typing import Any

import pytest

from offbus.declared import Lane, Metric, written
from offbus.journal.events import Event
from offbus.report.fold import fold
from offbus.report.model import Report
from offbus.report.spans import plain
from offbus.report.summary import closing_lines
from offbus.step import Kind, Outputs, Params, StepType
from tests.kits.cli.drill_journal import small


async def nothing(_ctx: Any, _params: Any) -> Outputs:
    return Outputs()


def step_type(**metrics: Metric | str) -> StepType:
    return StepType(
        name="quiet",
        kind=Kind.OBSERVATION,
        summary="Nothing.",
        params=Params,
        outputs=Outputs,
        run=nothing,
        metrics=metrics,
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        pytest.param({"type": "string"}, "double, int, duration", id="a type that is no measurement"),
        pytest.param(
            {"type": "int", "label": "sent"}, "one {} for its value", id="a label without the value"
        ),
        pytest.param({"type": "int", "label": "{} of {}"}, "one {} for its value", id="a label with two"),
        pytest.param({"type": "int", "share": True}, "a share is a double", id="a share that is whole"),
    ],
)
def test_a_wrong_declaration_is_an_error_where_it_is_made(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Metric(**wrong)


def test_a_type_name_alone_is_a_declaration_and_a_wrong_one_names_the_step_type() -> None:
    assert step_type(level="double").measures() == {"level": Metric("double")}
    with pytest.raises(ValueError, match=r"step type quiet: metrics: .*'text'"):
        step_type(level="text")


@pytest.mark.parametrize(
    ("metric", "unit"),
    [(Metric("duration"), "s"), (Metric("int"), "1"), (Metric("double", unit="GiB"), "GiB")],
    ids=["duration", "count", "of its own"],
)
def test_a_metric_has_a_unit(metric: Metric, unit: str) -> None:
    assert metric.unit == unit


def test_what_is_written_is_what_was_declared() -> None:
    for one in (Metric("double", "m", share=True, order=-3), Lane(name="table", feed=True, metrics="rows.")):
        assert type(one)(**written(one)) == one


def with_metrics(base: Path, **metrics: dict[str, Any]) -> Report:
    """The small drill, with other declarations in its first event."""
    drill, _ = small(base)
    first = drill.events[0]
    changed: Event = {**first, "data": {**first["data"], "metrics": metrics}}
    return fold([changed, *drill.events[1:]])


def closing(report: Report) -> list[str]:
    return plain(closing_lines(report, Path("R/report.json"))).splitlines()


def test_an_undeclared_metric_is_measured_and_not_in_the_closing_lines(tmp_path: Path) -> None:
    report = with_metrics(tmp_path)
    assert report.metrics["time_to_cordon"].value == 1.25
    assert closing(report)[1] == "  faults   1 of 1 proven"


@pytest.mark.parametrize("label", ["no value", "{0.__class__}", "{} {}"])
def test_a_forged_label_formats_nothing(tmp_path: Path, label: str) -> None:
    report = with_metrics(tmp_path, time_to_cordon={"type": "duration", "label": label})
    assert report.metrics["time_to_cordon"].label == ""


def test_a_label_from_outside_cannot_command_the_terminal(tmp_path: Path) -> None:
    forged = {"type": "duration", "label": "{}\x1b[2J\nPASSED", "group": "\x1b]0;x"}
    lines = closing(with_metrics(tmp_path, time_to_cordon=forged))
    assert not any("\x1b" in line or line.startswith("PASSED\n") for line in lines)
    assert lines[1].endswith("1.2 s\\x1b[2J PASSED")
