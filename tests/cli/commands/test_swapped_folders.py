"""A run's folder that is moved away while offbus acts in it: what replaces it is left alone.

Whoever owns the folder, or one that it lies in, can put a link there, or another run. The world's file is a pipe when
the recovery first reads it, so the swap is made at one known moment: after the takeover, before the first undo.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from offbus.runs import RunFolder
from tests.kits.cli.left_runs import LONG, Commands, ended, killed

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")

Started = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where runs are kept: a folder in one that a test hands to others."""
    return tmp_path / "shared" / "runs"


@pytest.fixture
def folder(commands: Commands, started: Started, shared: Path) -> RunFolder:
    """A run that was killed with two changes to undo."""
    commands.runs = shared
    return killed(commands, started("run", commands.scenario(), "--runs", shared))


@pytest.fixture
def victim(commands: Commands, folder: RunFolder) -> RunFolder:
    """Another run of the same user, unfinished, with a report and notes of its own, where only that user writes."""
    return copied(commands, folder.path)


def copied(commands: Commands, source: Path) -> RunFolder:
    path = commands.folder / "private" / "20260101T000000.000Z-other-deadbeef"
    shutil.copytree(source, path)
    path.chmod(0o700)
    (path / "report.json").write_text("{}")
    notes = notes_of(commands, path)
    notes.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text("noted\n")
    return RunFolder(path)


def notes_of(commands: Commands, path: Path) -> Path:
    return commands.folder / "state/offbus/opened" / sha256(os.fsencode(path)).hexdigest()


def contents(commands: Commands, path: Path) -> dict[str, bytes]:
    """Of a run's folder, and what is noted of it."""
    held = {one.name: one.read_bytes() for one in path.iterdir()}
    notes = notes_of(commands, path)
    return held | {"notes": notes.read_bytes() if notes.exists() else b""}


@contextmanager
def undoing(commands: Commands, *arguments: object) -> Iterator[list[str]]:
    """A command, once it has taken the run over and reads the world for its first undo. Then it goes on to its end.

    What it says is in the list afterwards.
    """
    said: list[str] = []
    world = commands.folder / "world.json"
    items = world.read_text()
    world.unlink()
    os.mkfifo(world)
    with subprocess.Popen(
        [sys.executable, "-m", "offbus", *map(str, arguments)],
        env=commands.env,
        cwd=commands.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            with world.open("w") as pipe:  # opens when the other end does
                yield said
                world.unlink()
                world.write_text(items)
                pipe.write(items)
            said.append(process.communicate(timeout=LONG)[0])
        finally:
            process.kill()


def a_link(path: Path, other: Path) -> Path:
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(other)
    return moved


def a_folder(path: Path, other: Path) -> Path:
    """The other run itself: whoever may rename it can do that, too."""
    moved = path.rename(path.with_name("moved"))
    other.rename(path)
    return moved


def a_parent(path: Path, other: Path) -> Path:
    """A folder of runs that has the other one under the same name."""
    moved = path.parent.rename(path.parent.with_name("moved"))
    named_as_it = other.parent.parent / "another" / path.name
    named_as_it.parent.mkdir()
    named_as_it.symlink_to(other)
    path.parent.symlink_to(named_as_it.parent)
    return moved / path.name


SWAPS = pytest.mark.parametrize("swap", [a_link, a_folder, a_parent])


@pytest.mark.guarantee("G25")
@SWAPS
def test_a_recovery_writes_nothing_into_what_replaced_its_folder(
    commands: Commands, folder: RunFolder, victim: RunFolder, swap: Callable[[Path, Path], Path]
) -> None:
    folder.path.chmod(0o775)
    before = contents(commands, victim.path)
    with undoing(commands, "recover", folder.path, "--trust", "--yes") as said:
        moved = swap(folder.path, victim.path)
    came = folder.path if swap is a_folder else victim.path
    assert contents(commands, came) | {"notes": b"noted\n"} == before
    assert notes_of(commands, victim.path).exists()
    assert commands.world() == {}
    assert not (moved / "unfinished").exists()
    assert json.loads((moved / "report.json").read_text())["run"] == folder.id
    assert f"{folder.path} leads elsewhere by now" in said[0]


@pytest.mark.guarantee("G25")
@SWAPS
def test_a_runner_writes_nothing_into_what_replaced_its_folder(
    commands: Commands, started: Started, shared: Path, swap: Callable[[Path, Path], Path]
) -> None:
    commands.runs = shared
    runner = started("run", commands.scenario(), "--runs", shared)
    folder = commands.newest()
    victim = copied(commands, folder.path)
    before = contents(commands, victim.path)
    moved = swap(folder.path, victim.path)
    runner.send_signal(signal.SIGTERM)
    ended(runner)
    came = folder.path if swap is a_folder else victim.path
    assert contents(commands, came) | {"notes": b"noted\n"} == before
    assert notes_of(commands, victim.path).exists()
    assert not (moved / "unfinished").exists()
    assert json.loads((moved / "report.json").read_text())["run"] == folder.id


def of_everybody(parent: Path) -> None:
    parent.chmod(0o777)


def of_another(parent: Path) -> None:
    parent.chmod(0o755)
    os.chown(parent, NOBODY, NOBODY)


SHARED = pytest.mark.parametrize(
    ("share", "why"),
    [
        pytest.param(of_everybody, "can be written by others (mode 0777)", id="of everybody"),
        pytest.param(of_another, "belongs to nobody", marks=as_root, id="of another user"),
    ],
)


@pytest.mark.guarantee("G25")
@SHARED
@pytest.mark.parametrize("command", ["recover", "residue", "stop"])
def test_a_folder_that_others_can_replace_is_refused(
    commands: Commands, folder: RunFolder, shared: Path, share: Callable[[Path], None], why: str, command: str
) -> None:
    share(shared.parent)
    before = contents(commands, folder.path)
    done = commands.call(command, folder.path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{shared.parent}, which the run's folder lies in, {why}" in done.stderr
    assert f"offbus recover {folder.path} --trust" in done.stderr
    assert contents(commands, folder.path) == before
    assert commands.world() == {"f": "set", "more": "set"}


@SHARED
def test_trust_recovers_one_that_others_can_replace(
    commands: Commands, folder: RunFolder, shared: Path, share: Callable[[Path], None], why: str
) -> None:
    share(shared.parent)
    assert commands.call("recover", folder.path, "--trust", "--yes").returncode == 0
    assert commands.world() == {}


def test_a_folder_that_only_its_owner_can_rename_is_recovered(
    commands: Commands, folder: RunFolder, shared: Path
) -> None:
    """The sticky bit, as on /tmp."""
    shared.parent.chmod(0o1777)
    assert commands.call("recover", folder.path).returncode == 0
    assert commands.world() == {}


def test_a_run_in_a_shared_place_ends_by_itself(commands: Commands, shared: Path) -> None:
    """Its folder is open from the moment it was made: nobody can exchange it."""
    shared.parent.mkdir(mode=0o755)
    shared.parent.chmod(0o777)
    assert commands.call("run", commands.scenario(seconds=0), "--runs", shared).returncode == 0
    assert commands.world() == {}
