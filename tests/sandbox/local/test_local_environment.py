"""The environment `local`, opened, reopened and closed as the engine does it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from offbus.abilities import OnlyLooks
from offbus.errors import CouldNotRun
from offbus.journal.reader import read_journal
from offbus.journal.writer import JournalWriter
from offbus.runner.clock import SystemClock
from offbus.runner.fingerprint_diff import differences
from offbus.runner.recorder import RunRecorder
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.environment import LOCAL
from offbus_sandbox.local.launch import is_running, start, stop
from offbus_sandbox.local.names import folder_of
from offbus_sandbox.local.options import LocalOptions
from offbus_sandbox.local.own_sandbox import own_of
from offbus_sandbox.processes.ending import wait_gone
from offbus_sandbox.processes.survey import leftovers
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.sandbox.local_cluster import QUICK

pytestmark = pytest.mark.anyio

SMALL = LocalOptions(nodes=1, gpus_per_node=1, responder=False)


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No sandbox of the developer's is used or touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    for folder in (own_of(tmp_path / "run"), folder_of("default")):
        if folder.exists():
            layout = Layout.of(folder)
            anyio.run(stop, layout)
            layout.forget_alias()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """The folder of a run."""
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


@pytest.fixture
def handle(run_dir: Path) -> Iterator[Callable[[int], RunRecorder]]:
    """`handle(epoch)`: what the engine gives an environment, on a real journal."""
    journal = JournalWriter(run_dir / "journal.jsonl", "0123abcd", SystemClock())

    def make(epoch: int = 1) -> RunRecorder:
        return RunRecorder(
            journal, epoch, {}, environment="local", abort=pytest.fail, progress=lambda _step, _text: None
        )

    yield make
    journal.close()


def journaled_state(run_dir: Path) -> dict[str, Any]:
    """What a recovery finds: the newest counts."""
    state: dict[str, Any] = journaled(run_dir, "environment_opened")[-1]["state"]
    return state


def journaled(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    """What all events of a kind say."""
    return [e["data"] for e in read_journal(run_dir / "journal.jsonl").events if e["kind"] == kind]


async def test_a_run_gets_a_sandbox_of_its_own_that_ends_with_it(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    layout = Layout.of(own_of(run_dir))
    async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)) as cluster:
        assert isinstance(cluster, Cluster)
        assert is_running(layout)
        before = await cluster.fingerprint()
        assert before["Node/node-1 page"] == "disarmed"
        assert before["Sandbox stray processes"] == []
        assert differences(before, await cluster.fingerprint()) == []
        await cluster.close(finished=True)
        assert leftovers(layout) == []
        assert not layout.real.exists()
        assert not (run_dir / "local/token").exists()
        assert (run_dir / "local/nodes/node-1/kmsg").exists(), "its files are the run's"


async def test_an_unfinished_run_leaves_its_sandbox_for_a_recovery(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    layout = Layout.of(own_of(run_dir))
    async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)) as cluster:
        await cluster.close(finished=False)
    assert is_running(layout)
    async with LOCAL.opener.reopen(journaled_state(run_dir), handle(2), run_dir=str(run_dir)) as again:
        assert isinstance(again, Cluster)
        assert (await again.agents.faults("node-1")) == []
        await again.close(finished=True)
    assert leftovers(layout) == []


async def test_a_recovery_starts_a_supervisor_that_was_killed(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    layout = Layout.of(own_of(run_dir))
    async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)) as cluster:
        assert isinstance(cluster, Cluster)
        await cluster.close(finished=False)
    await kill_supervisor(layout)
    async with LOCAL.opener.reopen(journaled_state(run_dir), handle(2), run_dir=str(run_dir)) as again:
        assert (await again.fingerprint())["Sandbox stray processes"] == []
        await again.close(finished=True)
    assert leftovers(layout) == []


@pytest.mark.parametrize("runs", [True, False], ids=["it runs", "its supervisor was killed"])
async def test_a_look_leaves_a_sandbox_as_it_was_found(
    run_dir: Path, handle: Callable[..., RunRecorder], *, runs: bool
) -> None:
    layout = Layout.of(own_of(run_dir))
    async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)) as cluster:
        assert isinstance(cluster, Cluster)
        before = await cluster.fingerprint()
        await cluster.close(finished=False)
    state = journaled_state(run_dir)
    if not runs:
        await kill_supervisor(layout)
    assert isinstance(LOCAL.opener, OnlyLooks)
    for finished in (False, True):
        async with LOCAL.opener.look_again(state, handle(2), run_dir=str(run_dir)) as seen:
            assert differences(before, await seen.fingerprint()) == []
            await seen.close(finished=finished)
        assert is_running(layout) is runs
    assert journaled_state(run_dir) == state
    async with LOCAL.opener.reopen(state, handle(2), run_dir=str(run_dir)) as again:
        assert differences(before, await again.fingerprint()) == []
        await again.close(finished=True)
    assert leftovers(layout) == []


async def kill_supervisor(layout: Layout) -> None:
    for process in leftovers(layout):
        if "offbus_sandbox.supervisor" in process.command():
            os.kill(process.id.pid, signal.SIGKILL)
            await wait_gone(process.id)


async def test_a_start_that_fails_is_journaled_first_and_leaves_nothing(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    node = own_of(run_dir) / "nodes/node-1"
    node.mkdir(parents=True)
    (node / "agent.sock").write_text("in the way")
    with pytest.raises(CouldNotRun, match="agent node-1"):
        async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)):
            pytest.fail("it opened")
    assert journaled_state(run_dir)["own"] is True
    assert leftovers(Layout.of(own_of(run_dir))) == []
    assert (run_dir / "local/log/supervisor.log").exists()
    assert journaled(run_dir, "residue") == []


@pytest.mark.guarantee("G1")
async def test_a_start_that_fails_and_cannot_be_cleaned_up_is_residue_until_it_is_recovered(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    """A folder in the token's place lets no agent start, and cannot be removed as the token is."""
    token = own_of(run_dir) / "token"
    token.mkdir(parents=True)
    with pytest.raises(CouldNotRun):
        async with LOCAL.opener.open(SMALL, ClusterGuards(), handle(), run_dir=str(run_dir)):
            pytest.fail("it opened")
    (left,) = journaled(run_dir, "residue")
    assert str(own_of(run_dir)) in left["item"]
    assert str(token) in left["detail"]
    assert left["fix"] == "offbus recover 0123abcd"
    token.rmdir()
    await recovered(run_dir, handle)


async def recovered(run_dir: Path, handle: Callable[..., RunRecorder]) -> None:
    """Recover the sandbox of a run that never opened: nothing is started again, everything is ended."""
    async with LOCAL.opener.reopen(journaled_state(run_dir), handle(2), run_dir=str(run_dir)) as again:
        assert not is_running(Layout.of(own_of(run_dir)))
        await again.close(finished=True)
    assert leftovers(Layout.of(own_of(run_dir))) == []
    assert not Layout.of(own_of(run_dir)).root.is_symlink()


async def test_a_sandbox_that_is_kept_is_used_and_stays(
    run_dir: Path, handle: Callable[..., RunRecorder]
) -> None:
    kept = Layout.of(folder_of("default"))
    await start(kept, QUICK)
    assert LOCAL.opener.identity(LocalOptions()) == LOCAL.opener.identity(LocalOptions(sandbox="default"))
    async with LOCAL.opener.open(LocalOptions(), ClusterGuards(), handle(), run_dir=str(run_dir)) as cluster:
        await cluster.close(finished=True)
    assert is_running(kept)
    assert not (run_dir / "local").exists()
    with pytest.raises(CouldNotRun, match="`nodes`"):
        async with LOCAL.opener.open(LocalOptions(nodes=9), ClusterGuards(), handle(), run_dir=str(run_dir)):
            pytest.fail("it opened")


async def test_a_named_sandbox_that_does_not_run_is_refused(
    handle: Callable[..., RunRecorder], run_dir: Path
) -> None:
    with pytest.raises(CouldNotRun, match="offbus local up --name other"):
        LOCAL.opener.identity(LocalOptions(sandbox="other"))


def test_runs_with_sandboxes_of_their_own_do_not_exclude_each_other() -> None:
    assert LOCAL.opener.identity(LocalOptions()) != LOCAL.opener.identity(LocalOptions())


@pytest.mark.parametrize(
    "options",
    [{"nodes": 0}, {"gpus_per_node": 9}, {"driver": "none"}, {"node": 3}, {"responder": {"drain_delay": 1}}],
    ids=["nodes", "gpus", "driver", "unknown", "responder"],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LocalOptions(**options)
