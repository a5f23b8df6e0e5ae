"""Nothing that a run's folder holds is executed: the run's own sandbox lies elsewhere."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import CouldNotRun
from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.environment import LOCAL
from offbus_sandbox.local.launch import is_running, start, stop
from offbus_sandbox.local.names import folder_of
from offbus_sandbox.local.own_sandbox import make_own, own_of
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
    for folder in (*tmp_path.glob("*/local"), own_of(tmp_path / "run"), folder_of("default")):
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


async def test_a_run_whose_supervisor_was_killed_has_its_pods_started_again(
    run_dir: Path, tmp_path: Path, pipe: Pipe
) -> None:
    own = own_of(run_dir)
    await dead_sandbox(own, pipe, tmp_path / "marker")
    async with LOCAL.opener.reopen(state_of(own), handle(run_dir), run_dir=str(run_dir)) as again:
        assert await pipe.heard() == "ran"
        await again.close(finished=True)
    assert not own.exists()


@pytest.mark.guarantee("G26")
@pytest.mark.parametrize("where", ["run", "copy"])
async def test_what_a_runs_folder_holds_is_not_executed_not_even_where_it_ran(
    run_dir: Path, tmp_path: Path, pipe: Pipe, where: str
) -> None:
    """An artefact that somebody changed, unpacked by its owner: elsewhere, or over the run's folder."""
    await dead_sandbox(run_dir / "local", pipe, tmp_path / "marker")
    folder = tmp_path / where
    if where == "copy":
        shutil.copytree(run_dir, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    before = sorted(path.name for path in (folder / "local").iterdir())
    with pytest.raises(CouldNotRun, match="nothing that it holds is executed") as refused:
        await reopened(folder, state_of(folder / "local"))
    assert refused.value.hint
    assert not (tmp_path / "marker").exists()
    assert leftovers(Layout.of(folder / "local")) == []
    assert sorted(path.name for path in (folder / "local").iterdir()) == before


@pytest.mark.guarantee("G26")
async def test_a_copy_of_a_run_does_not_have_the_sandbox_of_the_run(
    run_dir: Path, tmp_path: Path, pipe: Pipe
) -> None:
    own = own_of(run_dir)
    await dead_sandbox(own, pipe, tmp_path / "marker")
    (tmp_path / "copy").mkdir(mode=0o700)
    with pytest.raises(CouldNotRun, match="is not the sandbox of this run"):
        await reopened(tmp_path / "copy", state_of(own))
    assert not (tmp_path / "marker").exists()


async def test_one_of_an_older_offbus_in_the_runs_folder_is_used_while_it_runs(run_dir: Path) -> None:
    old = Layout.of(run_dir / "local")
    await start(old, QUICK)
    await reopened(run_dir, state_of(old.real))
    assert leftovers(old) == []
    assert (old.real / "sandbox.json").exists(), "it stays where it was"


async def test_what_is_in_the_runs_folder_stays(run_dir: Path) -> None:
    """Also a link in the place of the sandbox's files: they go beside it."""
    (run_dir / "local").symlink_to(run_dir.parent)
    own = own_of(run_dir)
    await start(Layout.of(own), QUICK)
    await reopened(run_dir, state_of(own))
    assert (run_dir / "local").readlink() == run_dir.parent
    assert (run_dir / "local-2/sandbox.json").exists()
    assert not own.exists()


async def test_the_sandbox_of_a_run_that_was_removed_is_removed_with_the_next_ones_start(
    run_dir: Path, tmp_path: Path, pipe: Pipe
) -> None:
    own, other = own_of(run_dir), own_of(tmp_path / "other")
    make_own(Layout.of(own), run_dir)
    await dead_sandbox(own, pipe, tmp_path / "marker")
    make_own(Layout.of(other), tmp_path)
    assert own.exists(), "its run is still there"
    os.rmdir(run_dir)  # noqa: PTH106  nobody waits for this
    make_own(Layout.of(other), tmp_path)
    assert (own.exists(), other.exists()) == (False, True)


@pytest.mark.guarantee("G26")
@pytest.mark.parametrize("served", [True, False])
async def test_only_the_sandbox_of_the_runs_folder_is_its_own(
    run_dir: Path, tmp_path: Path, served: bool
) -> None:
    """Nothing is written into another folder, and what runs there goes on."""
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    other.chmod(0o750)
    with pytest.raises(CouldNotRun, match="is not the sandbox of this run"):
        await reopened(run_dir, state_of(other, served=served))
    assert is_running(Layout.of(other))
    assert other.stat().st_mode & 0o777 == 0o750


@pytest.mark.guarantee("G26")
@pytest.mark.parametrize("served", [True, False])
async def test_a_link_is_no_sandbox(run_dir: Path, tmp_path: Path, served: bool) -> None:
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    (run_dir / "local").symlink_to(other)
    with pytest.raises(CouldNotRun, match="is not the sandbox of this run"):
        await reopened(run_dir, {**state_of(other, served=served), "folder": str(run_dir / "local")})
    assert is_running(Layout.of(other))


@pytest.mark.guarantee("G26")
async def test_a_sandbox_of_several_runs_is_one_that_has_a_name(run_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other/local"
    await start(Layout.of(other), QUICK)
    with pytest.raises(CouldNotRun, match="is none of your sandboxes"):
        await reopened(run_dir, state_of(other, own=False))
    assert is_running(Layout.of(other))


@pytest.mark.guarantee("G26")
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
    own = own_of(run_dir)
    await dead_sandbox(own, pipe, tmp_path / "marker")
    spoil(own)
    with pytest.raises(CouldNotRun, match="is not yours alone"):
        await reopened(run_dir, state_of(own))
    assert not (tmp_path / "marker").exists()
    os.chown(own, os.geteuid(), -1)
    own.chmod(0o700)
