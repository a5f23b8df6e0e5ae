"""Environments that do not open, or do not close: how long they are waited for, on virtual time."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.cli.handlers.residue import read_fingerprint
from offbus.errors import CouldNotRun
from offbus.journal.writer import JournalWriter
from offbus.runner.recorder import RunRecorder
from offbus.runner.run_end import CLOSING
from offbus_steps.failed_open import CLEAN_UP_S, leftover_after
from offbus_steps.kubernetes.open import Opening, Ownership
from offbus_steps.kubernetes.ownership.run_lease import RunLease
from offbus_steps.kubernetes.ownership.run_records import RunRecords
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.timed_port import TimedPort
from tests.kits.virtual_time import VirtualClock, in_virtual_time, meanwhile, play

NAMESPACE = "offbus-system"


@pytest.mark.timer("steps/offbus_steps/failed_open.py")
@in_virtual_time
async def test_what_does_not_end_is_told_as_left_after_a_bounded_time() -> None:
    with anyio.CancelScope() as stopped:
        async with meanwhile((10, stopped.cancel)):
            (left,) = await leftover_after(anyio.sleep_forever, "it", "r1")
    assert anyio.current_time() == CLEAN_UP_S, "a signal does not cut it short"
    assert (left.item, left.fix) == ("it", "offbus recover r1")
    assert left.detail.endswith("it was not ended within 60 s")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunRecorder]:
    """A run's handle."""
    journal = JournalWriter(tmp_path / "journal.jsonl", "r1", VirtualClock())
    yield RunRecorder(
        journal, 1, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    journal.close()


@pytest.mark.timer("steps/offbus_steps/failed_open.py")
@in_virtual_time
async def test_a_cluster_that_falls_silent_before_a_run_is_open_is_given_up(
    tmp_path: Path, run: RunRecorder
) -> None:
    port: Any = TimedPort(tmp_path)
    lease = RunLease(port.objects, NAMESPACE, "r1/1@here", clock=VirtualClock().mono_ns)
    ownership = Ownership(lease, RunRecords(port.objects, NAMESPACE, "r1"))
    await lease.take()
    port.objects.fall_silent()
    await Opening(port, ClusterGuards(), run, ownership).end_unopened()
    assert anyio.current_time() == CLEAN_UP_S
    assert [one.item for one in run.leftovers] == ["the run's Lease and records"]
    port.store.close()


class Unclosing:
    """An environment that can be read, and closes at a time."""

    def __init__(self, closes_at: float) -> None:
        self._closes_at = closes_at

    async def fingerprint(self) -> dict[str, Any]:
        return {"it": 1}

    async def close(self, *, finished: bool) -> None:
        await anyio.sleep(self._closes_at)


async def read(closes_at: float) -> float:
    """Read its fingerprint as `offbus residue` does; how long it took."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        yield Unclosing(closes_at)

    def opening(_handle: Any, /, *, run_dir: str) -> AbstractAsyncContextManager[Any]:
        return opened()

    began = anyio.current_time()
    with (
        pytest.raises(CouldNotRun, match="was not closed within 60 s")
        if closes_at > 60
        else anyio.CancelScope()
    ):
        found, _ = await read_fingerprint("a place", opening, "r1", Path(), True)
        assert found == {"it": 1}
    return anyio.current_time() - began


@pytest.mark.timer("engine/offbus/cli/handlers/residue.py")
@pytest.mark.parametrize("closes_at", [59.5, 60.5])
def test_an_environment_that_was_read_is_given_so_long_to_close(closes_at: float) -> None:
    assert play(read, closes_at) == min(closes_at, CLOSING.total_seconds())
