"""A kubeconfig may name commands, and a journal may name a kubeconfig: only a run of this user's has its own read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import CouldNotRun
from offbus.journal.writer import JournalWriter
from offbus.run_origin import seal
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder
from offbus_steps.kubernetes.environment import KUBERNETES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio."""
    return "asyncio"


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


@pytest.fixture
def executed(tmp_path: Path) -> Callable[[], bool]:
    """Whether the kubeconfig's credential plug-in was executed."""
    return (tmp_path / "executed").exists


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "touch",
        "args": [str(tmp_path / "executed")],
        "interactiveMode": "Never",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path = tmp_path / "kubeconfig.yaml"
    path.write_text(json.dumps(config))
    return path


async def refusal(run_dir: Path, kubeconfig: Path) -> CouldNotRun:
    journal = JournalWriter(run_dir / "journal.jsonl", "0123abcd", SystemClock())
    handle = RunRecorder(
        journal, 2, {}, environment="kubernetes", abort=pytest.fail, progress=lambda _step, _text: None
    )
    state: dict[str, Any] = {
        "options": {"kubeconfig": str(kubeconfig)},
        "guards": {},
        "holder": "0123abcd/1@x#y",
    }
    try:
        with pytest.raises(CouldNotRun) as refused:
            async with KUBERNETES.opener.reopen(state, handle, run_dir=str(run_dir)):
                pytest.fail("it opened")
    finally:
        journal.close()
    return refused.value


async def test_the_kubeconfig_of_somebody_elses_run_is_not_read(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    refused = await refusal(run_dir, kubeconfig)
    assert str(kubeconfig) in refused.message
    assert "KUBECONFIG=" in str(refused.hint)
    assert not executed()


async def test_one_that_the_run_did_not_open_with_is_not_read_where_it_ran(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    """A changed journal, unpacked over the folder that this user's offbus made."""
    seal(run_dir)
    refused = await refusal(run_dir, kubeconfig)
    assert str(kubeconfig) in refused.message
    assert not executed()


async def test_one_that_the_user_chose_is(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    await refusal(run_dir, kubeconfig)
    assert executed()


async def test_that_of_the_users_own_run_is(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    seal(run_dir)
    await refusal(run_dir, kubeconfig)
    assert executed()
