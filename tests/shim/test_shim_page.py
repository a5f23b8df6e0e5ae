"""The control page from the agent's side: what is written is read back, and a good file is never replaced."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from offbus_agent.page.abi import Ctl
from offbus_agent.page.control import CallClass, ControlPage, EventsPage, FaultMode, PageError, Slot
from offbus_agent.page.native_library import NativeMissingError, library
from tests.kits.shim.shim_node import EVERY_CLASS, GPUS, PCI, now_ns


@pytest.fixture
def page(tmp_path: Path) -> Iterator[ControlPage]:
    """A fresh page."""
    with closing(ControlPage.create(tmp_path / "ctl")) as made:
        yield made


def slot(fault_id: str = "f", **values: Any) -> Slot:
    """A slot with the given values."""
    return Slot(fault_id=fault_id, **{"classes": EVERY_CLASS, **values})


def test_a_slot_is_read_back_as_it_was_armed(page: ControlPage) -> None:
    armed = slot(
        "0123456789abcdef0123456789abcdef-run-9",
        gpu=GPUS[0],
        pci=PCI[0],
        mode=FaultMode.DELAY,
        cuda_err=719,
        nvml_err=15,
        classes=CallClass.SYNC | CallClass.NVML,
        sticky=True,
        new_procs=True,
        survive_disarm=True,
        delay_us=5,
        after_calls=6,
        ppm=7,
        seed=2**64 - 1,
        armed_at_ns=9,
        expires_ns=10,
        generation=1,
        xid=79,
        recovery_action=2,
        nvml_events=0x8000,
        remapped_correctable=1,
        remapped_uncorrectable=2,
        remap_pending=1,
        remap_failed=1,
        ecc_corrected=3,
        ecc_uncorrected=2**32 - 1,
    )
    assert page.arm([armed]) == 1
    state = page.read()
    assert state.slots == (armed,)
    assert (state.armed, state.generation) == (1, 1)


def test_the_time_of_arming_is_stamped(page: ControlPage) -> None:
    before = now_ns()
    page.arm([slot()])
    (armed,) = page.read().slots
    assert before <= armed.armed_at_ns <= now_ns()


def test_arming_replaces_only_the_same_fault(page: ControlPage) -> None:
    page.arm([slot("a", cuda_err=1), slot("a", gpu=GPUS[1], cuda_err=1)])
    page.arm([slot("b")])
    assert page.arm([slot("a", cuda_err=2)]) == 3
    assert {(s.fault_id, s.cuda_err, s.generation) for s in page.read().slots} == {("a", 2, 3), ("b", 0, 2)}


def test_disarming_takes_off_one_fault(page: ControlPage) -> None:
    page.arm([slot("a"), slot("a", gpu=GPUS[1])])
    page.arm([slot("b")])
    assert (page.disarm("a"), page.disarm("a"), page.read().armed) == (2, 0, 2)
    assert page.disarm("b") == 1
    state = page.read()
    assert (state.armed, state.slots, state.generation) == (0, (), 2)


def test_generations_are_never_given_out_twice(tmp_path: Path) -> None:
    given = []
    for _ in range(3):
        with closing(ControlPage.create(tmp_path / "ctl")) as page:
            given.append(page.arm([slot()]))
            page.disarm("f")
            given.append(page.arm([slot()]))
    assert given == [1, 2, 3, 4, 5, 6]


def test_a_full_page_refuses_and_stays_as_it_was(page: ControlPage) -> None:
    page.arm([slot(f"f-{n}") for n in range(16)])
    before = page.read()
    with pytest.raises(PageError, match="17 faulted GPUs, the page has room for 16"):
        page.arm([slot("one-more")])
    assert page.read() == before


def test_nothing_to_arm_is_refused(page: ControlPage) -> None:
    with pytest.raises(PageError, match="nothing to arm"):
        page.arm([])


def test_slots_keep_their_places_while_they_are_in_force(page: ControlPage) -> None:
    """Processes count their calls by place."""
    for name in "abc":
        page.arm([slot(name)])
    page.disarm("a")
    page.arm([slot("d")])
    page.renew("c", 5)
    raw = Ctl.from_buffer_copy(page.path.read_bytes())
    assert [raw.slots[i].fault_id for i in range(3)] == [b"d", b"b", b"c"]


def test_the_sequence_is_even_after_every_change(page: ControlPage) -> None:
    page.arm([slot()])
    page.renew("f", 9)
    page.disarm("f")
    assert Ctl.from_buffer_copy(page.path.read_bytes()).seq % 2 == 0


def test_files_are_made_with_their_permissions(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        ControlPage.create(tmp_path / "ctl").close()
        EventsPage.create(tmp_path / "events").close()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ctl", "events")]
    assert modes == [0o644, 0o666]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ctl", "events"]


@pytest.mark.parametrize("kind", [ControlPage, EventsPage], ids=["ctl", "events"])
def test_a_good_file_is_taken_over_not_replaced(tmp_path: Path, kind: Any) -> None:
    """A process that has mapped it must go on seeing what is written."""
    kind.create(tmp_path / "file").close()
    first = (tmp_path / "file").stat()
    kind.create(tmp_path / "file").close()
    second = (tmp_path / "file").stat()
    assert (first.st_ino, first.st_size) == (second.st_ino, second.st_size)


def test_what_is_armed_outlives_the_agent(tmp_path: Path) -> None:
    with closing(ControlPage.create(tmp_path / "ctl")) as first:
        first.arm([slot()])
    with closing(ControlPage.create(tmp_path / "ctl")) as second:
        assert [s.fault_id for s in second.read().slots] == ["f"]


@pytest.mark.parametrize("values", [{"boot_id_hash": 1}, {"seq": 7}], ids=["another boot", "torn"])
def test_what_cannot_be_trusted_is_disarmed_on_opening(tmp_path: Path, values: dict[str, int]) -> None:
    path = tmp_path / "ctl"
    with closing(ControlPage.create(path)) as first:
        first.arm([slot()])
    raw = Ctl.from_buffer_copy(path.read_bytes())
    for name, value in values.items():
        setattr(raw, name, value)
    path.write_bytes(bytes(raw))
    with closing(ControlPage.create(path)) as second:
        state = second.read()
        assert (state.armed, state.slots) == (0, ())
        assert second.arm([slot()]) == 2


@pytest.mark.parametrize(
    "content", [b"", b"my notes", bytes(4096), bytes(8192)], ids=["empty", "text", "zeroes", "long"]
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ctl"
    path.write_bytes(content)
    with pytest.raises(PageError, match=r"ctl: .*move it away"):
        ControlPage.create(path)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    ControlPage.create(tmp_path / "real").close()
    (tmp_path / "ctl").symlink_to(tmp_path / "real")
    with pytest.raises(PageError, match="is not a regular file"):
        ControlPage.create(tmp_path / "ctl")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fault_id": ""}, "fault id ''"),
        ({"fault_id": "a" * 40}, "1 to 39"),
        ({"fault_id": "a\nb"}, "no space"),
        ({"gpu": "GPU-1"}, "GPU 'GPU-1'"),
        ({"pci": "3b:00"}, "PCI address '3b:00'"),
        ({"ppm": 1_000_001}, "ppm is 1000001"),
        ({"cuda_err": -1}, "cuda_err is -1"),
        ({"seed": 2**64}, "seed is"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_slot_that_does_not_fit_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(PageError) as caught:
        slot(**values)
    assert message in str(caught.value)


def test_a_part_that_was_not_built_is_named_with_the_way_out() -> None:
    with pytest.raises(NativeMissingError, match=r"libnothing.so is missing.*make -C shim install"):
        library("libnothing.so")
