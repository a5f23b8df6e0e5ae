"""A journal says how its run opened the cluster; that is believed only of a run that this user's offbus opened so.

A kubeconfig may name commands; in another context or namespace, somebody else answers as offbus.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus.cli.handlers.recover import recover_runs
from offbus.errors import CouldNotRun
from offbus.journal.kinds import ENVIRONMENT_OPENED
from offbus.journal.writer import JournalWriter
from offbus.run_origin import forget_notes, note, noted
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
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("c", "production")
        ],
    }
    path = tmp_path / "kubeconfig.yaml"
    path.write_text(json.dumps(config))
    return path


def state_with(kubeconfig: Path, **options: Any) -> dict[str, Any]:
    """What a run journals that opened with it."""
    return {"options": {"kubeconfig": str(kubeconfig), **options}, "guards": {}, "holder": "0123abcd/1@x#y"}


async def refusal(run_dir: Path, kubeconfig: Path, *, confirmed: bool = False, **options: Any) -> CouldNotRun:
    journal = JournalWriter(run_dir / "journal.jsonl", "0123abcd", SystemClock())
    handle = RunRecorder(
        journal,
        2,
        {},
        environment="kubernetes",
        abort=pytest.fail,
        progress=lambda _step, _text: None,
        confirmed=confirmed,
    )
    state = state_with(kubeconfig, **options)
    try:
        with pytest.raises(CouldNotRun) as refused:
            async with KUBERNETES.opener.reopen(state, handle, run_dir=str(run_dir)):
                pytest.fail("it opened")
    finally:
        journal.close()
    return refused.value


@pytest.mark.guarantee("G26")
async def test_the_kubeconfig_of_somebody_elses_run_is_not_read(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    refused = await refusal(run_dir, kubeconfig)
    assert str(kubeconfig) in refused.message
    assert "KUBECONFIG=" in str(refused.hint)
    assert not executed()


@pytest.mark.guarantee("G26")
async def test_one_that_the_run_did_not_open_with_is_not_read_where_it_ran(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    """A changed journal, unpacked over the folder that this user's offbus made."""
    note(run_dir, state_with(Path("/somewhere/else")))
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
    note(run_dir, state_with(kubeconfig))
    await refusal(run_dir, kubeconfig)
    assert executed()


@pytest.mark.guarantee("G26")
async def test_not_that_of_a_copy_of_it(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool], tmp_path: Path
) -> None:
    note(run_dir, state_with(kubeconfig))
    (tmp_path / "copy").mkdir(mode=0o700)
    await refusal(tmp_path / "copy", kubeconfig)
    assert not executed()


ELSEWHERE = [
    pytest.param({"agent_namespace": "mallory"}, "mallory", id="agents and Lease in a namespace of its own"),
    pytest.param({"context": "production"}, "production", id="another context of the user's kubeconfig"),
]


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize(("options", "named"), ELSEWHERE)
async def test_a_run_of_somebody_elses_acts_where_the_user_acts(
    run_dir: Path,
    kubeconfig: Path,
    executed: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    named: str,
) -> None:
    """Whoever answers in that namespace would be believed to be offbus, and its Lease to be the cluster's."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    refused = await refusal(run_dir, kubeconfig, **options)
    assert named in refused.message
    assert "--trust" in str(refused.hint)
    assert not executed()


@pytest.mark.parametrize("options", [one.values[0] for one in ELSEWHERE])
async def test_where_it_says_when_the_user_has_confirmed_it_or_made_the_run(
    run_dir: Path,
    kubeconfig: Path,
    executed: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    refused = await refusal(run_dir, kubeconfig, confirmed=True, **options)
    assert "the run names" not in refused.message
    assert executed()
    note(run_dir, state_with(kubeconfig, **options))
    refused = await refusal(run_dir, kubeconfig, **options)
    assert "the run names" not in refused.message


async def test_the_current_context_may_be_named(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    await refusal(run_dir, kubeconfig, context="c")
    assert executed()


async def test_confirming_a_run_has_no_kubeconfig_of_its_read(
    run_dir: Path, kubeconfig: Path, executed: Callable[[], bool]
) -> None:
    refused = await refusal(run_dir, kubeconfig, confirmed=True)
    assert str(kubeconfig) in refused.message
    assert not executed()


def test_the_plan_of_a_recovery_says_where_it_would_act(
    run_dir: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = JournalWriter(run_dir / "journal.jsonl", "0123abcd", SystemClock())
    state = state_with(kubeconfig, agent_namespace="mallory\x1b[2J\n::error::", context="production")
    journal.append(ENVIRONMENT_OPENED({"environment": "kubernetes", "state": state}))
    journal.append(ENVIRONMENT_OPENED({"environment": "kubernetes", "state": {"options": 1}}))
    journal.close()
    assert recover_runs(str(run_dir), plan_only=True, runs=None) == 0
    unreadable = capsys.readouterr().out
    assert "in the environment kubernetes" in unreadable
    first = (run_dir / "journal.jsonl").read_bytes().splitlines(keepends=True)[0]
    (run_dir / "journal.jsonl").write_bytes(first)
    assert recover_runs(str(run_dir), plan_only=True, runs=None) == 0
    told = capsys.readouterr().out
    assert f"production of {kubeconfig}" in told
    assert "mallory" in told
    assert "\x1b" not in told
    assert not any(line.startswith("::") for line in told.splitlines())


def test_notes_are_of_this_user_alone_and_last_as_long_as_the_run(run_dir: Path, tmp_path: Path) -> None:
    first, second = state_with(Path("/a")), {**state_with(Path("/a")), "holder": "0123abcd/2@x#y"}
    assert not noted(run_dir, first)
    note(run_dir, first)
    note(run_dir, second)
    assert noted(run_dir, first)
    assert noted(run_dir, second)
    (notes,) = (tmp_path / "state/offbus/opened").iterdir()
    assert notes.stat().st_mode & 0o777 == 0o600
    notes.chmod(0o620)
    assert not noted(run_dir, first)
    notes.chmod(0o600)
    forget_notes(run_dir)
    assert not noted(run_dir, first)
