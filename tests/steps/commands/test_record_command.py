"""`offbus observe --env local`, as people use it: real processes, a real sandbox, and every way to end it."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Ref
from offbus_steps.recordings.format import End, read_recording
from tests.kits.watching import wait_until

Start = Callable[..., "subprocess.Popen[str]"]
LONG = 100


class Sandbox:
    """A sandbox without a responder, and the command in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.layout = Layout.of(home / "offbus/local/default")

    def start(self, *words: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "offbus", *map(str, words)]
        environment = os.environ | {"XDG_STATE_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def call(self, *words: object) -> "subprocess.CompletedProcess[str]":
        running = self.start(*words)
        out, err = running.communicate(timeout=LONG)
        return subprocess.CompletedProcess(words, running.returncode, out, err)

    def cordon(self, node: str, *, to: bool) -> None:
        async def patch() -> None:
            async with LocalPort(self.layout.api) as port:
                await port.objects.patch(Ref("Node", node), {"spec": {"unschedulable": to or None}})

        anyio.run(patch)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    one = Sandbox(tmp_path_factory.mktemp("observed"))
    up = one.call("local", "up", "--nodes", 2, "--gpus", 1, "--no-responder")
    assert up.returncode == 0, up.stderr
    yield one
    assert one.call("local", "down").returncode == 0


@pytest.fixture
def observing(sandbox: Sandbox) -> Iterator[Start]:
    """Recorders that have begun; none outlives its test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: object) -> "subprocess.Popen[str]":
        started.append(sandbox.start("observe", "--env", "local", *words))
        until(started[-1], "recording ")
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate(timeout=LONG)


def until(process: "subprocess.Popen[str]", said: str) -> str:
    """The next line on stderr that says so."""
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            return line
    raise AssertionError(f"it ended without saying {said!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_a_summary(
    sandbox: Sandbox, observing: Start, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "drill.jsonl"
    process = observing("--out", path)
    for to in (True, False):
        sandbox.cordon("node-2", to=to)
        assert "Node/node-2: cordoned" in until(process, "cordoned: ")
    process.send_signal(number)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    assert "recorded 2 changes in " in out
    assert f"into {path} (ended: {number.name})" in out
    found = read_recording(path)
    assert [(one.field, one.to) for _, one in found.changes] == [("cordoned", True), ("cordoned", False)]
    assert isinstance(found.lines[-1][1], End)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_kill_leaves_a_recording_of_what_was_seen(
    sandbox: Sandbox, observing: Start, tmp_path: Path
) -> None:
    path = tmp_path / "drill.jsonl"
    process = observing("--out", path, "--node", "node-1")
    for name in ("node-2", "node-1"):
        for to in (True, False):
            sandbox.cordon(name, to=to)
    until(process, "cordoned: true → false")
    process.kill()
    process.communicate(timeout=LONG)
    found = read_recording(path)
    assert found.header.nodes == 1
    assert [(one.subject, one.to) for _, one in found.changes] == [
        ("Node/node-1", True),
        ("Node/node-1", False),
    ]


def test_it_ends_after_its_time(sandbox: Sandbox, tmp_path: Path) -> None:
    done = sandbox.call("observe", "--env", "local", "--out", tmp_path / "drill.jsonl", "--for", "100ms")
    assert done.returncode == 0, done.stderr
    assert "recorded 0 changes in " in done.stdout
    assert "(ended: after 0.1 s)" in done.stdout
    header = json.loads((tmp_path / "drill.jsonl").read_text().splitlines()[0])
    assert header["serves"].startswith("a local sandbox of offbus ")
    assert header["responder"] == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "`--env NAME --out FILE` records"),
        (["--env", "local"], 2, "say what to observe"),
        (["--out", "new.jsonl"], 2, "say what to observe"),
        (["--env", "lokal", "--out", "new.jsonl"], 2, "did you mean 'local'?"),
        (["--env", "local", "--env-set", "nods=2", "--out", "new.jsonl"], 2, "did you mean 'nodes'?"),
        (["--env", "local", "--out", "new.jsonl", "--for", "5"], 2, "--for: '5' is not a duration"),
        (["--env", "local", "--out", "new.jsonl", "--node", "node-9"], 2, "there is no node 'node-9'"),
        (
            ["--env", "local", "--env-set", "sandbox=none", "--out", "new.jsonl"],
            3,
            "offbus local up --name none",
        ),
        (["--env", "local", "--env-set", "nodes=7", "--out", "new.jsonl"], 3, "has a different `nodes`"),
        (["--env", "local", "--out", "new.jsonl", "--fault-at", "5s"], 2, "takes no option of a comparison"),
        (["--compare", "x.jsonl", "--env", "local"], 2, "takes no option of recording"),
        (["--compare", "x.jsonl", "--responder-namespace", "a"], 2, "takes no option of recording"),
        (
            ["--env", "local", "--out", "new.jsonl", "--responder-namespace", "a/b"],
            2,
            "'a/b' is not a namespace's name",
        ),
        (["--env", "kubernetes", "--env-set", "kubeconfig=/nowhere", "--out", "new.jsonl"], 3, "/nowhere"),
    ],
)
def test_wrong_use_leaves_no_file(
    sandbox: Sandbox, tmp_path: Path, words: Sequence[str], code: int, says: str
) -> None:
    done = sandbox.call("observe", *(tmp_path / one if one.endswith(".jsonl") else one for one in words))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "drill.jsonl"
    path.write_text("mine")
    done = sandbox.call("observe", "--env", "local", "--out", path)
    assert done.returncode == 2
    assert "name another file, or remove this one first" in done.stderr
    assert path.read_text() == "mine"


def test_without_a_sandbox_it_says_how_to_have_one(tmp_path: Path) -> None:
    done = Sandbox(tmp_path / "state").call("observe", "--env", "local", "--out", tmp_path / "drill.jsonl")
    assert done.returncode == 3
    assert "run `offbus local up`" in done.stderr
    assert not (tmp_path / "drill.jsonl").exists()


def test_a_closed_output_does_not_stop_it(sandbox: Sandbox, observing: Start, tmp_path: Path) -> None:
    process = observing("--out", tmp_path / "drill.jsonl")
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    sandbox.cordon("node-1", to=True)
    sandbox.cordon("node-1", to=False)
    wait_until(tmp_path, lambda: len(list(read_recording(tmp_path / "drill.jsonl").changes)) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == 0
