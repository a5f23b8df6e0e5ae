"""A run's folder that others own or can write is not recovered, compared or stopped unless the user says so."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from offbus.errors import UsageError
from offbus.open_run import opened
from offbus.runs import RunFolder, find_run
from tests.kits.cli.left_runs import LONG, Commands, killed

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(commands: Commands, started: Started) -> RunFolder:
    """A run that was killed with two changes to undo."""
    return killed(commands, started("run", commands.scenario()))


def contents(folder: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def give_away(folder: RunFolder) -> None:
    for path in (folder.path, *folder.path.iterdir()):
        os.chown(path, NOBODY, NOBODY)


def open_folder(folder: RunFolder) -> None:
    folder.path.chmod(0o775)


def open_journal(folder: RunFolder) -> None:
    folder.path.chmod(0o755)
    folder.journal.chmod(0o666)


FOREIGN = [
    pytest.param(give_away, "belongs to nobody", marks=as_root, id="another owner"),
    pytest.param(open_folder, "can be written by others (mode 0775)", id="a folder of a group"),
    pytest.param(open_journal, "can be written by others (mode 0666)", id="a journal of everybody"),
]


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize(("spoil", "why"), FOREIGN)
@pytest.mark.parametrize("command", ["recover", "residue", "stop"])
def test_a_folder_of_others_is_refused_and_left_as_it_is(
    commands: Commands, folder: RunFolder, spoil: Callable[[RunFolder], None], why: str, command: str
) -> None:
    spoil(folder)
    before = contents(folder)
    done = commands.call(command, folder.path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert why in done.stderr
    assert f"offbus recover {folder.path} --plan" in done.stderr
    assert f"offbus recover {folder.path} --trust" in done.stderr
    assert commands.world() == {"f": "set", "more": "set"}
    assert contents(folder) == before


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize(("spoil", "why"), FOREIGN)
def test_its_plan_is_shown_and_nothing_is_written(
    commands: Commands, folder: RunFolder, spoil: Callable[[RunFolder], None], why: str
) -> None:
    spoil(folder)
    before = contents(folder)
    for wanted in (folder.path, "all"):
        done = commands.call("recover", wanted, "--plan")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[1:] == [
            "  restore f (disarm)",
            "  restore more (restore)",
            "  in the environment world",
        ]
    assert contents(folder) == before


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize(("spoil", "why"), FOREIGN)
def test_trust_names_every_object_and_needs_a_yes(
    commands: Commands, folder: RunFolder, spoil: Callable[[RunFolder], None], why: str
) -> None:
    spoil(folder)
    refused = commands.call("recover", folder.path, "--trust")
    assert refused.returncode == 2
    assert "--trust --yes" in refused.stderr
    assert "restore f (disarm)" in refused.stdout
    assert "restore more (restore)" in refused.stdout
    assert commands.world() == {"f": "set", "more": "set"}
    done = commands.call("recover", folder.path, "--trust", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("restore more (restore)") < done.stdout.index("recovered run")
    assert commands.world() == {}


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize(("answer", "code", "world"), [("n", 2, {"f": "set", "more": "set"}), ("y", 0, {})])
def test_trust_asks_on_a_terminal(
    commands: Commands, folder: RunFolder, answer: str, code: int, world: dict[str, str]
) -> None:
    open_folder(folder)
    keys, terminal = pty.openpty()
    command = [sys.executable, "-m", "offbus", "recover", str(folder.path), "--trust"]
    with subprocess.Popen(
        command, env=commands.env, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.write(keys, f"{answer}\n".encode())
        _, said = process.communicate(timeout=LONG)
    os.close(keys)
    os.close(terminal)
    assert (process.returncode, commands.world()) == (code, world), said
    assert "with your rights?" in said


@pytest.mark.guarantee("G25")
def test_what_was_confirmed_is_what_is_undone(commands: Commands, folder: RunFolder) -> None:
    """Others may write the journal while the user reads the list."""
    open_folder(folder)
    keys, terminal = pty.openpty()
    command = [sys.executable, "-m", "offbus", "recover", str(folder.path), "--trust"]
    with subprocess.Popen(
        command, env=commands.env, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        said = b""
        while b"rights?" not in said:
            assert select.select([process.stderr], [], [], LONG)[0]
            said += os.read(process.stderr.fileno(), 4096)
        lines = folder.journal.read_bytes().splitlines(keepends=True)
        folder.journal.write_bytes(b"".join(lines[:-1]))
        os.write(keys, b"y\n")
        _, told = process.communicate(timeout=LONG)
    os.close(keys)
    os.close(terminal)
    assert process.returncode == 2
    assert b"has changed since it was confirmed" in told
    assert commands.world() == {"f": "set", "more": "set"}


@pytest.mark.guarantee("G25")
def test_a_run_behind_a_link_is_refused_whatever_is_trusted(
    commands: Commands, folder: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder.path)
    for more in ([], ["--trust", "--yes"]):
        done = commands.call("recover", tmp_path / "link", *more)
        assert done.returncode == 2
        assert "is a symbolic link" in done.stderr
        assert str(folder.path) in done.stderr
    assert commands.world() == {"f": "set", "more": "set"}


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize("name", ["journal.jsonl", "lock", "unfinished", "report.json"])
@pytest.mark.parametrize("more", [[], ["--trust", "--yes"]], ids=["", "trusted"])
def test_nothing_is_written_through_a_link(
    commands: Commands, folder: RunFolder, tmp_path: Path, name: str, more: list[str]
) -> None:
    victim = tmp_path / "victim"
    (folder.path / name).touch()
    (folder.path / name).rename(victim)
    (folder.path / name).symlink_to(victim)
    before = victim.read_bytes()
    done = commands.call("recover", folder.path, *more)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{folder.path / name} is a symbolic link" in done.stderr
    assert victim.read_bytes() == before


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize("command", ["recover", "run"])
def test_no_lock_of_an_environment_is_made_through_a_link(
    commands: Commands, folder: RunFolder, tmp_path: Path, command: str
) -> None:
    """Whoever packed a folder of runs can put a link into it under the name of the folder of locks."""
    elsewhere, locks = tmp_path / "elsewhere", folder.path.parent / ".locks"
    locks.rename(elsewhere)
    for one in elsewhere.iterdir():
        one.unlink()
    locks.symlink_to(elsewhere)
    done = commands.call(
        command, *([] if command == "recover" else [commands.scenario("other.json", seconds=0)])
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{locks} is a symbolic link" in done.stderr
    assert list(elsewhere.iterdir()) == []
    assert commands.world() == {"f": "set", "more": "set"}


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_no_holder_of_an_environment_is_written_into_another_file(
    commands: Commands, folder: RunFolder, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    [lock] = (folder.path.parent / ".locks").iterdir()
    lock.unlink()
    link(victim, lock)
    done = commands.call("recover")
    assert done.returncode == 3, done.stdout + done.stderr
    assert str(lock) in done.stderr
    assert victim.read_text() == "precious"


@pytest.mark.guarantee("G25")
def test_looking_at_a_folder_writes_nothing_through_its_lock(
    commands: Commands, folder: RunFolder, tmp_path: Path
) -> None:
    """Each run looks for unfinished ones, and `report` asks whether a run goes on."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder.path / "lock").unlink()
    (folder.path / "lock").symlink_to(victim)
    for command in (["report"], ["recover", "--plan"], ["run", commands.scenario("other.json", seconds=0)]):
        done = commands.call(*command)
        assert done.returncode == 0, done.stderr
        assert victim.read_text() == "precious"


def test_a_draft_of_a_report_is_not_followed(commands: Commands, folder: RunFolder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder.path / "report.json.part").symlink_to(victim)
    assert commands.call("recover", folder.path).returncode == 0
    assert victim.read_text() == "precious"


@as_root
def test_a_folder_that_cannot_be_entered_is_told_as_that(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    (run / "journal.jsonl").touch()
    tmp_path.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        with (
            pytest.raises(UsageError, match=f"{run} cannot be read: Permission denied"),
            opened(find_run(tmp_path, str(run))),
        ):
            pass
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "arguments", [["--yes"], ["--trust", "--plan"], ["--trust", "--env", "world"]], ids=" ".join
)
def test_wrong_use_of_trust(commands: Commands, arguments: list[str]) -> None:
    assert commands.call("recover", *arguments).returncode == 2
