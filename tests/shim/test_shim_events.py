"""What processes report, and what the agent makes of a file that anybody may have written."""

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_agent.page.abi import ROWS, Events, Row
from offbus_agent.page.control import EventsPage, PageError
from tests.kits.shim.shim_node import GPUS, Node, Program, hung, now_ns

Probe = Callable[..., Program]
SIZE = 131072


def test_the_first_faulted_call_is_recorded(node: Node, probe: Probe) -> None:
    program = probe()
    began = now_ns()
    generation = node.arm(gpu=GPUS[0])
    program.asks("sync", "alloc", "use 1", "sync")
    row = node.row(generation)
    assert (row.pid, row.intercepted, row.faulted, row.nvml) == (int(program.ask("pid")), 2, 2, None)
    assert row.pid_namespace == Path("/proc/self/ns/pid").stat().st_ino
    assert row.start_ns < began
    call = row.cuda
    assert call is not None
    assert (call.function, call.code, call.gpu, call.slot) == ("cuCtxSynchronize", 719, GPUS[0], 0)
    assert (call.pid, call.tid) == (row.pid, row.pid)
    assert began <= call.at_ns <= now_ns()


def test_every_process_and_every_arming_has_a_row(node: Node, probe: Probe) -> None:
    programs = [probe(), probe()]
    generations = []
    for fault in ("a", "b"):
        generations.append(node.arm(fault_id=fault))
        for program in programs:
            assert program.ask("sync") == "719"
        node.ctl.disarm(fault)
    seen = {(row.generation, row.pid) for row in node.events.read()}
    assert seen == {(g, int(program.ask("pid"))) for g in generations for program in programs}


def test_nothing_is_written_while_nothing_is_armed(node: Node, probe: Probe) -> None:
    assert probe().asks("work", "sync") == ["0", "0"]
    assert (node.folder / "events").read_bytes()[256:] == bytes(SIZE - 256)


def test_a_first_faulted_call_rings(node: Node, probe: Probe) -> None:
    bell = hung(node)
    try:
        program = probe()
        assert select.select([bell.fd], [], [], 0)[0] == []
        node.arm()
        assert program.ask("sync") == "719"
        assert select.select([bell.fd], [], [], 60)[0] == [bell.fd]
    finally:
        bell.close()


def test_rows_of_a_forgotten_fault_are_free_again(node: Node, probe: Probe) -> None:
    program = probe()
    generation = node.arm()
    program.ask("sync")
    node.events.forget({generation})
    assert node.events.read() == []
    program.ask("sync")
    assert node.row(generation).faulted == 1


def fill_table(path: Path, generation: int) -> None:
    """Every row taken by somebody else."""
    row = Row(owner=1, pid=1, generation=generation, start_ns=1)
    with path.open("r+b") as file:
        file.seek(256)
        file.write(bytes(row) * ROWS)


def test_a_full_table_loses_the_record_not_the_fault(node: Node, probe: Probe) -> None:
    program = probe()
    generation = node.arm()
    fill_table(node.folder / "events", generation)
    assert program.ask("sync") == "719"
    assert {row.pid for row in node.events.read()} == {1}


def test_rows_of_a_generation_that_is_over_are_taken(node: Node, probe: Probe) -> None:
    program = probe()
    fill_table(node.folder / "events", 1000)
    generation = node.arm()
    assert program.ask("sync") == "719"
    assert node.row(generation).pid == int(program.ask("pid"))


def test_a_truncated_file_does_not_hurt_the_agent(node: Node) -> None:
    os.truncate(node.folder / "events", 1000)
    assert node.events.read() == []
    fixed = EventsPage.create(node.folder / "events")
    assert (node.folder / "events").stat().st_size == SIZE
    fixed.close()


@given(st.binary(max_size=4096), st.integers(0, SIZE))
def test_no_content_makes_reading_fail(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("events") / "events"
    page = EventsPage.create(path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(noise)
    for row in page.read():
        assert row.pid > 0
        assert row.generation > 0
    page.close()


GOOD_CALL: dict[str, Any] = {"state": 2, "code": 719, "pid": 7, "tid": 7, "at_ns": 5, "slot": 0}
GOOD_ROW: dict[str, Any] = {"owner": 9, "pid": 7, "generation": 1, "start_ns": 1}


def write_row(path: Path, row: dict[str, Any], call: dict[str, Any], function: bytes) -> None:
    """One row at the beginning of the table."""
    made = Row(**row)
    for name, value in call.items():
        setattr(made.cuda, name, value)
    made.cuda.function[: len(function)] = function
    with path.open("r+b") as file:
        file.seek(Events.rows.offset)
        file.write(bytes(made))


@pytest.mark.parametrize(
    "wrong",
    [{"pid": 0}, {"pid": -4}, {"pid": 2**30}, {"generation": 0}, {"faulted": 2**60}, {"start_ns": 2**63}],
    ids=lambda w: "{} {}".format(*next(iter(w.items()))),
)
def test_a_row_with_absurd_values_is_left_out(node: Node, wrong: dict[str, int]) -> None:
    write_row(node.folder / "events", {**GOOD_ROW, **wrong}, GOOD_CALL, b"cuMemAlloc_v2")
    assert node.events.read() == []


@pytest.mark.parametrize(
    ("wrong", "function"),
    [
        pytest.param({"state": 1}, b"cuMemAlloc_v2", id="half written"),
        pytest.param({"pid": 8}, b"cuMemAlloc_v2", id="of another process"),
        pytest.param({"tid": -1}, b"cuMemAlloc_v2", id="thread"),
        pytest.param({"code": -5}, b"cuMemAlloc_v2", id="code"),
        pytest.param({"at_ns": 0}, b"cuMemAlloc_v2", id="time"),
        pytest.param({"slot": 16}, b"cuMemAlloc_v2", id="slot"),
        pytest.param({}, b"c" * 48, id="unterminated"),
        pytest.param({}, b"cuMem\xff\xfe", id="not ASCII"),
        pytest.param({}, b"cuMem\nroot: all is well", id="a second line"),
        pytest.param({}, b"nvmlInit_v2", id="of the other library"),
        pytest.param({}, b"", id="empty"),
    ],
)
def test_an_implausible_record_is_no_evidence(node: Node, wrong: dict[str, int], function: bytes) -> None:
    write_row(node.folder / "events", GOOD_ROW, {**GOOD_CALL, **wrong}, function)
    (row,) = node.events.read()
    assert row.cuda is None


def test_a_plausible_record_is_read(node: Node) -> None:
    """The measure for the two tests above: without the flaw the record counts."""
    write_row(node.folder / "events", GOOD_ROW, GOOD_CALL, b"cuMemAlloc_v2")
    (row,) = node.events.read()
    assert row.cuda is not None
    assert (row.cuda.function, row.cuda.gpu) == ("cuMemAlloc_v2", "")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("somebody's notes\n", encoding="ascii")
    with pytest.raises(PageError, match="not an events file"):
        EventsPage.create(path)
    assert path.read_text(encoding="ascii") == "somebody's notes\n"


def test_a_spoilt_header_is_fixed(node: Node) -> None:
    path = node.folder / "events"
    with path.open("r+b") as file:
        file.write(b"\xff" * 64)
    EventsPage.create(path).close()
    good = node.folder / "good"
    EventsPage.create(good).close()
    assert path.read_bytes()[:256] == good.read_bytes()[:256]
