"""Locks, `stop`, `residue` and `recover` between real processes, on a small environment of their own.

The environment is a package made for the test: a file of keys and values, registered by entry points as any other.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys

import pytest

from offbus.journal.lock import FileLock, HeldElsewhere, Holder, boot_id, holder_of, process_started
from tests.kits.cli.left_runs import LONG, ended, killed


@pytest.mark.guarantee("G9")
def test_stop_ends_a_run_as_an_interrupt_does(commands, started):
    runner = started("run", commands.scenario())
    assert commands.world() == {"f": "set", "more": "set"}
    done = commands.call("stop", "latest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "INTERRUPTED" in done.stdout
    ended(runner)
    assert (runner.returncode, commands.world()) == (130, {})
    again = commands.call("stop")
    assert (again.returncode, "has already ended" in again.stdout) == (0, True)


@pytest.mark.guarantee("G9")
def test_stop_after_an_interrupt_is_no_second_one(commands, started):
    runner = started("run", commands.scenario())
    runner.send_signal(signal.SIGINT)
    assert commands.call("stop").returncode == 0
    ended(runner)
    assert (runner.returncode, commands.world()) == (130, {})


def test_stop_does_not_wait_when_told_so(commands, started):
    runner = started("run", commands.scenario())
    assert commands.call("stop", "--no-wait").returncode == 0
    ended(runner)
    assert runner.returncode == 130


def test_stop_says_that_a_run_is_suspended(commands, started):
    runner = started("run", commands.scenario())
    runner.send_signal(signal.SIGSTOP)
    command = [sys.executable, "-m", "offbus", "stop"]
    with subprocess.Popen(
        command, env=commands.env, cwd=commands.folder, stderr=subprocess.PIPE, text=True
    ) as stop:
        assert stop.stderr is not None
        assert f"kill -CONT {runner.pid}" in stop.stderr.readline()
        runner.send_signal(signal.SIGCONT)
        assert stop.wait(LONG) == 0
    ended(runner)
    assert runner.returncode == 130


@pytest.mark.guarantee("G17")
def test_stop_never_hits_another_process(commands, started):
    """The lock names a pid that was used again: its start time differs."""
    runner = started("run", commands.scenario())
    folder = commands.newest()
    said = json.loads((folder.path / "lock").read_text())
    (folder.path / "lock").write_text(json.dumps(said | {"pid": os.getpid()}))
    done = commands.call("stop")
    assert done.returncode == 3
    assert "which is not on this machine" in done.stderr
    (folder.path / "lock").write_text(json.dumps(said | {"host": "elsewhere"}))
    assert commands.call("stop").returncode == 3
    assert runner.poll() is None


def test_stop_points_at_recover_when_the_runner_is_gone(commands, started):
    folder = killed(commands, started("run", commands.scenario()))
    done = commands.call("stop")
    assert done.returncode == 3
    assert f"offbus recover {folder.path}" in done.stderr


def test_residue_tells_what_is_left_until_it_is_recovered(commands, started):
    killed(commands, started("run", commands.scenario()))
    before = commands.newest().journal.read_bytes()
    left = commands.call("residue")
    assert left.returncode == 4, left.stderr
    assert "residue: f: was not there, is 'set'" in left.stdout
    assert "fix: offbus recover" in left.stdout
    assert commands.newest().journal.read_bytes() == before
    assert commands.call("recover").returncode == 0
    clean = commands.call("residue")
    assert (clean.returncode, "residue: none" in clean.stdout) == (0, True)


def test_residue_against_a_saved_fingerprint(commands):
    place = commands.folder / "world.json"
    place.write_text('{"a": "1"}')
    env = ("--env", "world", "--env-set", f"path={place}")
    assert commands.call("residue", *env, "--save", "before.json").returncode == 0
    assert commands.call("residue", *env, "--against", "before.json").returncode == 0
    place.write_text('{"a": "2", "b": "3"}')
    changed = commands.call("residue", *env, "--against", "before.json")
    assert changed.returncode == 4
    assert "residue: a: was '1', is '2'" in changed.stdout
    assert "residue: b: was not there, is '3'" in changed.stdout


def test_residue_of_an_environment_names_the_runs_that_it_says_nothing_about(commands, started):
    """A killed run's changes are in its own environment, not in the one that is named."""
    folder = killed(commands, started("run", commands.scenario()))
    env = ("--env", "world", "--env-set", f"path={commands.folder / 'another.json'}")
    assert commands.call("residue", *env, "--save", "before.json").returncode == 0
    other = commands.call("residue", *env, "--against", "before.json")
    assert (other.returncode, "residue: none" in other.stdout) == (0, True)
    named = f"run {folder.id} did not finish, in another environment: offbus residue {folder.path}"
    assert f"not compared: {named}" in other.stdout
    own = ("--env", "world", "--env-set", f"path={commands.folder / 'world.json'}")
    assert "not compared" not in commands.call("residue", *own, "--against", "before.json").stdout
    assert commands.call("residue", str(folder.path)).returncode == 4
    assert commands.call("recover").returncode == 0
    assert "not compared" not in commands.call("residue", *env, "--against", "before.json").stdout


def test_a_fingerprint_that_is_nested_too_deeply_is_none(commands):
    (commands.folder / "deep.json").write_bytes(b"[" * 4_000)
    done = commands.call("residue", "--env", "world", "--against", "deep.json")
    assert (done.returncode, "deep.json is not a saved fingerprint" in done.stderr) == (2, True)


def test_a_fingerprint_that_cannot_be_saved_is_wrong_use(commands):
    env = ("--env", "world", "--env-set", f"path={commands.folder / 'world.json'}")
    (commands.folder / "file").touch()
    for save, why in (("nowhere/x", "No such file or directory"), ("file/x", "Not a directory")):
        done = commands.call("residue", *env, "--save", save)
        assert (done.returncode, f"cannot write {save}: {why}" in done.stderr) == (2, True), done.stderr
        assert "choose another file with --save" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--env", "wrold", "--save", "x"], "world"),
        (["--env", "world"], "--save"),
        (["--save", "x"], "--env"),
        (["--env", "world", "--env-set", "nope=1", "--save", "x"], "nope"),
        (["--env", "world", "--against", "nowhere.json"], "nowhere.json"),
        (["--env", "world", "--against", "world.json.yaml"], "fingerprint"),
        (["nosuchrun"], "nosuchrun"),
    ],
    ids=["a typo", "neither", "no environment", "an option", "no file", "not a fingerprint", "no run"],
)
def test_wrong_use_of_residue(commands, arguments, word):
    commands.scenario()
    done = commands.call("residue", *arguments)
    assert done.returncode == 2, done.stderr
    assert word in done.stderr


@pytest.mark.guarantee("G18")
def test_the_next_run_in_the_environment_is_refused_and_others_are_warned(commands, started):
    folder = killed(commands, started("run", commands.scenario()))
    refused = commands.call("run", commands.scenario(seconds=0))
    assert refused.returncode == 3
    assert f"offbus recover {folder.path}" in refused.stderr
    elsewhere = commands.call("run", commands.scenario("other.json", seconds=0), "--view", "quiet")
    assert elsewhere.returncode == 0, elsewhere.stderr
    warnings = [line for line in elsewhere.stderr.splitlines() if "did not finish" in line]
    assert warnings == [
        f"offbus: run {folder.id} in other environments did not finish; finish with: offbus recover"
    ]


@pytest.mark.guarantee("G18")
def test_a_damaged_head_does_not_hide_a_leftover_run(commands, started):
    folder = killed(commands, started("run", commands.scenario()))
    raw = folder.journal.read_bytes()
    folder.journal.write_bytes(b"?" + raw[1:])
    assert commands.call("run", commands.scenario(seconds=0)).returncode == 3
    assert commands.call("recover", "--plan").returncode == 0
    recovered = commands.call("recover")
    assert "internal error" not in recovered.stderr
    assert commands.world() == {}


def test_recover_takes_the_newest_first_and_goes_on_after_one_that_cannot_be(commands, started):
    first = killed(commands, started("run", commands.scenario()))
    second = killed(commands, started("run", commands.scenario("other.json")))
    text = first.journal.read_bytes().replace(b"environment_opened", b"environment_opene?")
    first.journal.write_bytes(text)
    plan = commands.call("recover", "--plan")
    assert [line.split()[1] for line in plan.stdout.splitlines() if line.startswith("run ")] == [
        f"{second.id}:",
        f"{first.id}:",
    ]
    done = commands.call("recover")
    assert done.returncode == 4
    assert commands.world("other.json") == {}
    assert "restore more" in done.stdout


def test_recover_names_what_still_goes_on_and_finishes_the_rest(commands, started):
    left = killed(commands, started("run", commands.scenario()))
    started("run", commands.scenario("other.json"))
    living = commands.newest()
    done = commands.call("recover")
    assert done.returncode == 0, done.stderr
    assert f"recovered run {left.id}" in done.stdout
    assert f"run {living.id} is still running" in done.stderr
    assert f"offbus stop {living.id}" in done.stderr
    assert (commands.world(), commands.world("other.json") != {}) == ({}, True)


def test_a_copy_of_a_run_is_recovered_elsewhere(commands, started, tmp_path):
    folder = killed(commands, started("run", commands.scenario()))
    copy = tmp_path / "artefact"
    folder.path.rename(copy)
    assert commands.call("recover", copy).returncode == 0
    assert commands.world() == {}
    assert commands.call("recover", copy).returncode == 0


@pytest.mark.guarantee("G17")
def test_a_run_and_a_recovery_of_its_environment_exclude_each_other(commands, started):
    runner = started("run", commands.scenario())
    refused = commands.call("recover")
    assert refused.returncode == 3
    assert f"held by process {runner.pid}" in refused.stderr
    second = commands.call("run", commands.scenario(seconds=0))
    assert second.returncode == 3
    assert f"process {runner.pid}" in second.stderr


HOLD = "import sys, time; from pathlib import Path; from offbus.journal.lock import FileLock; "
HOLD += "FileLock(Path(sys.argv[1]), 'it').acquire(); print('held', flush=True); time.sleep(600)"


@pytest.mark.guarantee("G17")
def test_a_lock_says_who_holds_it_and_dies_with_its_holder(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        select.select([holder.stdout], [], [], LONG)
        with pytest.raises(
            HeldElsewhere, match=f"held by process {holder.pid} of .* on {socket.gethostname()}"
        ):
            FileLock(path, "it").acquire()
        who = holder_of(path)
        assert who is not None
        assert (who.boot, who.started, who.is_here) == (boot_id(), process_started(holder.pid), True)
        holder.kill()
        holder.wait(LONG)
        assert not who.is_here
    with FileLock(path, "it"):
        assert holder_of(path).pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": -1}', '{"pid": 1, "x": 2}', "null"])
def test_a_lock_file_that_says_nothing_names_nobody(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    assert holder_of(tmp_path / "lock") is None
    assert "process 7 of me on here (run)" in str(Holder("me", "here", "b", 7, 1, "run"))
