"""`offbus init` on a terminal: what no option says is asked, and again after a wrong answer."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from offbus.language.load import load_scenario
from tests.kits.steps.terminal import Terminal, on_terminal

Start = Callable[..., Terminal]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as held:
        yield lambda *words: held.enter_context(
            on_terminal([sys.executable, "-m", "offbus", "init", *words], tmp_path)
        )


def test_enter_alone_writes_a_valid_drill(started: Start, tmp_path: Path) -> None:
    one = started()
    for asked in ("recipe [cordon-and-drain]: ", "XID [79]: ", "environment (local, kubernetes) [local]: "):
        one.until(asked)
        one.type("\n")
    one.until("[vllm]: ")
    one.type("\n")
    one.until("name [xid79]: ")
    one.type("\n")
    assert one.end() == 0
    assert "wrote xid79.yaml\n" in one.shown
    assert load_scenario(tmp_path / "xid79.yaml").env_name == "local"


def test_a_wrong_answer_is_explained_and_asked_for_again(started: Start, tmp_path: Path) -> None:
    one = started("--env", "local", "--backend", "deployment")
    one.until("recipe [cordon-and-drain]: ")
    one.type("matrx\n")
    assert "did you mean 'matrix'?" in one.until("recipe [cordon-and-drain]: ")
    one.type("matrix\n")
    one.until("XIDs, with commas between [79, 48, 74, 94]: ")
    one.type("79, 63\n")
    assert "not for XID 63" in one.until("XIDs, with commas between [79, 48, 74, 94]: ")
    one.type("95, 94\n")
    one.until("name [xids]: ")
    one.type("My Drill\n")
    assert "up to 63 lower-case letters" in one.until("name [xids]: ")
    one.type("mine\n")
    assert one.end() == 0
    assert (tmp_path / "mine.yaml").exists()
    assert "- 95  # " in (tmp_path / "mine.yaml").read_text()


def test_what_options_say_is_not_asked(started: Start, tmp_path: Path) -> None:
    one = started("--xid", "94", "--context", "staging", "--backend", "sglang", "--name", "a")
    assert one.end() == 0
    assert "[" not in one.shown
    assert (tmp_path / "a.yaml").exists()


def test_yes_asks_nothing(started: Start) -> None:
    one = started("--yes")
    assert one.end() == 0
    assert "]: " not in one.shown


def test_a_name_that_is_there_is_not_offered_and_not_taken(started: Start, tmp_path: Path) -> None:
    (tmp_path / "xid94.yaml").write_text("mine")
    one = started("--recipe", "contained", "--xid", "94", "--env", "local", "--backend", "vllm")
    one.until("name [xid94-2]: ")
    one.type("xid94\n")
    assert "there is a xid94.yaml already" in one.until("name [xid94-2]: ")
    one.type("\n")
    assert one.end() == 0
    assert (tmp_path / "xid94.yaml").read_text() == "mine"
    assert (tmp_path / "xid94-2.yaml").exists()


def test_on_a_cluster_a_workload_that_runs_there_is_asked_for(started: Start, tmp_path: Path) -> None:
    one = started("--recipe", "crash", "--xid", "13", "--env", "kubernetes")
    one.until("workload [none]: ")
    one.type("llm\n")
    assert "is not KIND/NAME" in one.until("workload [none]: ")
    one.type("\n")
    one.until("[vllm]: ")
    one.type("trtllm\n")
    one.until("name [xid13-crash]: ")
    one.type("\n")
    assert one.end() == 0
    assert "tensorrtllm-runtime" in (tmp_path / "targets/xid13-crash.yaml").read_text()


@pytest.mark.parametrize("key", ["Ctrl-C", "Ctrl-D"])
def test_an_interrupted_question_leaves_nothing(started: Start, tmp_path: Path, key: str) -> None:
    one = started("drills")
    one.until("recipe [cordon-and-drain]: ")
    one.type("\n")
    one.until("XID [79]: ")
    if key == "Ctrl-D":
        one.type("\x04")
    assert (one.end() if key == "Ctrl-D" else one.interrupt()) == 130
    assert "interrupted before anything was changed" in one.shown
    assert list(tmp_path.iterdir()) == []
