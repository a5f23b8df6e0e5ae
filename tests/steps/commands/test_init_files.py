"""The files of `offbus init`: all of them or none, whatever is in the way, and whenever it is stopped."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus.errors import UsageError
from offbus_steps.commands.scaffold.new_files import write_all
from tests.kits import REPOSITORY

FULL = 'mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@"'
READ_ONLY = 'mount -t tmpfs -o ro tmpfs "$1" && shift && exec "$@"'


def below(folder: Path) -> dict[str, bytes]:
    """All files, hidden ones too; an empty folder is one without content."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in found.items()}


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_all_are_written_and_nothing_else(tmp_path: Path) -> None:
    write_all({tmp_path / "a/b/c": b"1", tmp_path / "a/d": b"2"}, force=False)
    assert below(tmp_path) == {"a": b"", "a/b": b"", "a/b/c": b"1", "a/d": b"2"}
    assert stat.S_IMODE((tmp_path / "a/d").stat().st_mode) == 0o644


def test_each_that_is_there_is_named_and_none_is_written(tmp_path: Path) -> None:
    for name in ("b", "c"):
        (tmp_path / name).write_text("mine")
    files = {tmp_path / name: b"new" for name in "abcd"}
    with pytest.raises(UsageError, match=f"^{tmp_path}/b and {tmp_path}/c exist already") as refused:
        write_all(files, force=False)
    assert "--force overwrites" in str(refused.value)
    assert below(tmp_path) == {"b": b"mine", "c": b"mine"}


def test_force_overwrites_and_leaves_the_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    write_all({tmp_path / "a": b"new", tmp_path / "b": b"new"}, force=True)
    assert below(tmp_path) == {"a": b"new", "b": b"new"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def in_the_way(folder: Path, what: str) -> Path:
    """A name that cannot be written, and everything before it can."""
    path = folder / "z"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a link":
        path.symlink_to(folder / "elsewhere")
    elif what == "below a file":
        path.write_text("mine")
        return path / "y"
    else:
        return folder / ("n" * 300)
    return path


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link", "below a file", "too long"])
def test_what_is_in_the_way_leaves_all_as_it_was(tmp_path: Path, what: str) -> None:
    (tmp_path / "a").write_text("old")
    last = in_the_way(tmp_path, what)
    before = below(tmp_path)
    with pytest.raises(UsageError, match="cannot be written: ") as refused:
        write_all({tmp_path / "a": b"new", tmp_path / "new/b": b"new", last: b"new"}, force=True)
    assert str(last) in refused.value.message
    assert below(tmp_path) == before


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        write_all({tmp_path / "a": b"1", tmp_path / "b\0c": b"2"}, force=False)
    assert below(tmp_path) == {}


def unshared(script: str, folder: Path, program: str) -> "subprocess.CompletedProcess[str]":
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(folder)]
    return subprocess.run(
        [*command, sys.executable, "-c", textwrap.dedent(program), str(folder)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_no_fault_of_the_user_and_leaves_all_as_it_was(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from offbus.errors import CouldNotRun
        from offbus_steps.commands.scaffold.new_files import write_all
        folder = Path(sys.argv[1])
        (folder / "a").write_text("old")
        try:
            write_all({folder / "a": b"new", folder / "b/c": b"x" * (1 << 20)}, force=True)
        except CouldNotRun as err:
            print(err)
        print(sorted(path.name for path in folder.rglob("*")), (folder / "a").read_text())
    """
    done = unshared(FULL, tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert "b/c cannot be written: No space left on device (nothing was written)" in done.stdout
    assert "['a'] old" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(tmp_path)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "offbus", "init", str(tmp_path / "drills")],
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{tmp_path}/drills/" in done.stderr
    assert "cannot be written: Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away needs root")
@pytest.mark.parametrize("name", ["theirs", "theirs/new"])
def test_a_folder_of_somebody_elses_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o755)
    os.chown(folder, 65534, 65534)
    lacking = "-dac_override,-dac_read_search"  # without these, root is like anybody else
    command = ["setpriv", "--bounding-set", lacking, "--inh-caps", lacking]
    done = subprocess.run(
        [*command, sys.executable, "-m", "offbus", "init", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / name}/scenario.schema.json cannot be written: Permission denied" in done.stderr
    assert below(folder) == {}


STOPPED = """
    import os, signal, sys
    from pathlib import Path
    from offbus_steps.commands.scaffold import new_files
    folder, number, nth = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    (folder / "old").write_text("old")
    calls = 0
    def counted(name, args):
        global calls
        if name in ("open", "os.rename", "os.mkdir") and str(folder) in str(args):
            calls += 1
            if calls == nth:
                os.kill(os.getpid(), number)
    sys.addaudithook(counted)
    new_files.write_all({folder / "old": b"new", folder / "x/new": b"new"}, force=True)
    print("written")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("nth", range(1, 8))
def test_a_signal_at_any_time_leaves_all_as_it_was(tmp_path: Path, number: signal.Signals, nth: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(STOPPED), str(tmp_path), str(int(number)), str(nth)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    if "written" in done.stdout:
        assert nth > 5, "so many calls at least"
        return
    assert done.returncode == -number
    assert below(tmp_path) == {"old": b"old"}


def test_a_signal_that_is_ignored_stops_nothing(tmp_path: Path) -> None:
    """As under nohup."""
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", textwrap.dedent(STOPPED)]
    done = subprocess.run(
        [*command, str(tmp_path), str(int(signal.SIGHUP)), "2"], capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "written\n", done.stderr
    assert below(tmp_path) == {"old": b"new", "x": b"", "x/new": b"new"}
