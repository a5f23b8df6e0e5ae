"""What a run's folder holds is executed only if this user's offbus made the folder, and it is this run's own."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import CouldNotRun
from offbus.journal.writer import JournalWriter
from offbus.run_origin import made_here, seal
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.environment import LOCAL
from offbus_sandbox.local.launch import is_running, start, stop
from offbus_sandbox.local.names import folder_of
from offbus_sandbox.local.sandbox_choice import ChosenSandbox
from offbus_sandbox.processes.ending import wait_gone
from offbus_sandbox.processes.survey import leftovers
from tests.kits.sandbox.local_cluster import QUICK, Pipe, pod

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No sandbox of the developer's is used or touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    for folder in (*tmp_path.glob("*/local"), folder_of("default")):
        if (folder / "sandbox.json").exists():
            layout = Layout.of(folder)
            anyio.run(stop, layout)
            layout.forget_alias()


def handle(folder: Path) -> RunRecorder:
    journal = JournalWriter(folder / "journal.jsonl", "0123abcd", SystemClock())
    return RunRecorder(
        journal, 2, {}, environment="local", abort=pytest.fail, progress=lambda _step, _text: None
    )


def state_of(folder: Path, **more: Any) -> dict[str, Any]:
    chosen = ChosenSandbox(Layout.of(folder), QUICK, own=True)
    return {**chosen.state, "guards": {}, "served": True, **more}


async def dead_sandbox(folder: Path, pipe: Pipe, marker: Path) -> None:
    """A sandbox whose supervisor was killed, and that would start a pod again."""
    layout = Layout.of(folder)
    await start(layout, QUICK)
    async with LocalPort(layout.api) as port:
        writes = ["sh", "-c", f"touch {marker}; echo ran > {pipe.path}; exec sleep 600"]
        await port.objects.create(pod("writes", writes))
        assert await pipe.heard() == "ran"
    for process in leftovers(layout):
        os.kill(process.id.pid, signal.SIGKILL)
        await wait_gone(process.id)
    os.unlink(marker)  # noqa: PTH108  nobody waits for this


async def reopened(run_dir: Path, state: dict[str, Any]) -> None:
    async with LOCAL.opener.reopen(state, handle(run_dir), run_dir=str(run_dir)) as again:
        await again.close(finished=True)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


async def test_a_copy_of_a_run_has_none_of_its_pods_started(
    run_dir: Path, tmp_path: Path, pipe: Pipe
) -> None:
    """Also one that belongs to who unpacked it."""
    seal(run_dir)
    await dead_sandbox(run_dir / "local", pipe, tmp_path / "marker")
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    before = sorted(path.name for path in (copy / "local").iterdir())
    with pytest.raises(CouldNotRun, match="not made by your offbus on this machine") as refused:
        await reopened(copy, state_of(copy / "local"))
    assert refused.value.hint
    assert not (tmp_path / "marker").exists()
    assert leftovers(Layout.of(copy / "local")) == []
    assert sorted(path.name for path in (copy / "local").iterdir()) == before
    assert (made_here(run_dir), made_here(copy)) == (True, False)
    state = state_of(run_dir / "local")
    async with LOCAL.opener.reopen(state, handle(run_dir), run_dir=str(run_dir)) as again:
        assert await pipe.heard() == "ran", "its own folder's are"
        await again.close(finished=True)


async def test_what_was_changed_in_a_runs_folder_is_not_executed_where_it_ran(
    run_dir: Path, tmp_path: Path, pipe: Pipe
) -> None:
    """An artefact of the run, changed by somebody and unpacked over its folder: it has all that the folder had."""
    seal(run_dir)
    await dead_sandbox(run_dir / "local", pipe, tmp_path / "marker")
    changed = tmp_path / "changed"
    with sqlite3.connect(run_dir / "local/store.sqlite") as store:
        store.execute("UPDATE objects SET body = replace(body, 'touch ', ?)", (f"touch {changed} ",))
    with pytest.raises(CouldNotRun, match="nothing that it holds is executed"):
        await reopened(run_dir, state_of(run_dir / "local"))
    assert not changed.exists()


@pytest.mark.parametrize("served", [True, False])
async def test_only_the_sandbox_in_the_runs_folder_is_its_own(
    run_dir: Path, tmp_path: Path, served: bool
) -> None:
    """Nothing is written into another folder, and what runs there goes on."""
    seal(run_dir)
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    other.chmod(0o750)
    with pytest.raises(CouldNotRun, match="is not the sandbox of this run"):
        await reopened(run_dir, state_of(other, served=served))
    assert is_running(Layout.of(other))
    assert other.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("served", [True, False])
async def test_a_link_is_no_sandbox(run_dir: Path, tmp_path: Path, served: bool) -> None:
    seal(run_dir)
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    (run_dir / "local").symlink_to(other)
    with pytest.raises(CouldNotRun, match="is not the sandbox of this run"):
        await reopened(run_dir, {**state_of(other, served=served), "folder": str(run_dir / "local")})
    assert is_running(Layout.of(other))


async def test_a_sandbox_of_several_runs_is_one_that_has_a_name(run_dir: Path, tmp_path: Path) -> None:
    seal(run_dir)
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    with pytest.raises(CouldNotRun, match="is none of your sandboxes"):
        await reopened(run_dir, state_of(other, own=False))
    assert is_running(Layout.of(other))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: folder.chmod(0o777), id="mode"),
        pytest.param(
            lambda folder: os.chown(folder, 65534, 65534),
            id="owner",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root"),
        ),
    ],
)
async def test_a_sandbox_that_others_can_write_is_left_alone_whatever_is_trusted(
    run_dir: Path, tmp_path: Path, pipe: Pipe, spoil: Callable[[Path], None]
) -> None:
    """`--trust` does not reach here."""
    seal(run_dir)
    await dead_sandbox(run_dir / "local", pipe, tmp_path / "marker")
    spoil(run_dir / "local")
    with pytest.raises(CouldNotRun, match="is not yours alone"):
        await reopened(run_dir, state_of(run_dir / "local"))
    assert not (tmp_path / "marker").exists()
    os.chown(run_dir / "local", os.geteuid(), -1)
    (run_dir / "local").chmod(0o700)
