"""`offbus xid` and `offbus conformance`, as people and scripts use them."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from offbus.errors import UsageError
from offbus_agent.conformance import faults
from offbus_steps.commands.fault_facts import entry_of
from offbus_steps.commands.fault_names import fault_named
from tests.kits import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "schemas/xids.json").read_text(encoding="utf-8"))


def offbus(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "offbus", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def told(*words: object) -> Any:
    done = offbus(*words, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def numbers(*words: object) -> list[int]:
    return [one["number"] for one in told("xid", *words)]


def on_terminal(*words: str, **environ: str) -> bytes:
    """What it prints on a terminal."""
    ours, theirs = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    env |= {"TERM": "xterm-256color"} | environ
    command = [sys.executable, "-m", "offbus", *words]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said = b""
    while True:
        try:
            said += (more := os.read(ours, 65536))
        except OSError:  # EIO: the child was the last that had the other end
            break
        if not more:
            break
    os.close(ours)
    assert child.wait(100) == 0
    return said


def test_a_page_tells_text_codes_severity_actions_and_scenarios() -> None:
    done = offbus("xid", "79")
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
        "719 CUDA_ERROR_LAUNCH_FAILED",
        "100 CUDA_ERROR_NO_DEVICE",
        "15 NVML_ERROR_GPU_IS_LOST",
        "critical (testing guide)",
        "about 5 min (very slow)",
        "cordoned by NVSentinel: RESTART_BM",
        "nvidia/immediate            RESTART_BM",
        "gpud/main-2026-08           fatal: unhealthy; suggests a reboot",
        "offbus run scenarios/xid79.yaml",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout, "a pipe is no terminal"


def test_a_terminal_gets_colours_unless_told_otherwise() -> None:
    assert b"\x1b[1m" in on_terminal("xid", "79")
    assert b"\x1b" not in on_terminal("xid", "79", NO_COLOR="1")
    assert b"\x1b" not in on_terminal("conformance", "79", TERM="dumb")


def test_json_is_as_its_schema_says_and_has_every_fault() -> None:
    found = told("xid", "--kind", "all")
    jsonschema.validate(found, SCHEMA)
    assert len(found) == len(faults())
    [one] = told("xid", "79")
    assert one in found
    assert one["guide_cuda"]["number"] == 100
    assert json.loads(offbus("xid", "--format", "schema").stdout) == SCHEMA


def test_filters() -> None:
    assert numbers("--severity", "critical") == [79, 95]
    assert numbers("--severity", "medium", "--severity", "low", "--no-cordons") == [43, 94]
    assert numbers("--action", "restart_bm") == [79]
    assert numbers("--plane", "nvml", "--plane", "cuda") == [79, 95, 110, 119, 120, 143]
    assert numbers("--drilled") == [43, 48, 74, 79, 94, 95, 119, 120, 140]
    assert numbers("--cordons", "--severity", "low") == []
    assert len(numbers("--kind", "sxid", "--no-cordons")) == 33


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("79", "79"),
        ("xid-79", "79"),
        ("XID 079", "79"),
        ("nvlink_error", "74"),
        ("RESETCHANNEL_VERIF_ERROR", "43"),
        ("ROBUST_CHANNEL_RESETCHANNEL_VERIF_ERROR", "43"),
        ("20034", "20034"),
        ("sxid20034", "20034"),
        ("fallen-off", "fallen-off"),
        ("0", "fallen-off"),
        ("GPU_FALLEN_OFF_BUS", "fallen-off"),
    ],
)
def test_how_a_fault_may_be_named(word: str, name: str) -> None:
    assert fault_named(word).name == name


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("RESET_CHANNEL_VERIF_EROR", "did you mean ROBUST_CHANNEL_RESETCHANNEL_VERIF_ERROR, XID 43?"),
        ("NVLINK_EROR", "did you mean NVLINK_ERROR, XID 74?"),
        ("fallen of the bus", "did you mean ROBUST_CHANNEL_GPU_HAS_FALLEN_OFF_THE_BUS, XID 79?"),
        ("790", "did you mean 79"),
        ("20035", "the nearest is 20034"),
        ("qqq", "`offbus xid` lists them"),
        ("", "`offbus xid` lists them"),
        ("9" * 5000, "`offbus xid` lists them"),
    ],
)
def test_a_name_that_is_not_known(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        fault_named(word)
    assert hint in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("xid", "79", "--cordons"), "it goes with no FAULT"),
        (("xid", "79", "--format", "schema"), "takes no fault and no filter"),
        (("xid", "--severity", "dire"), "'dire' is not one of"),
        (("xid", "790"), "did you mean 79?"),
        (("conformance", "--detector", "dcmg"), "did you mean 'dcgm'?"),
        (("conformance", "--surface", "barre"), "did you mean 'bare'?"),
        (("conformance", "nosuch"), "there is no fault 'nosuch'"),
    ],
)
def test_wrong_use(words: tuple[str, ...], says: str) -> None:
    done = offbus(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_conformance_tells_programs_everything_that_it_goes_by() -> None:
    found = told("conformance", "79", "--detector", "nvsentinel", "--surface", "bare", "--surface", "marked")
    assert found["surfaces"] == ["marked", "bare"]
    [asked] = found["detectors"]
    assert {one["name"] for one in asked["releases"]} == {
        *("main-2026-08", "v1.33", "v1.8", "kernel-facility", "kata"),
    }
    assert all(one["source"] for one in (*asked["releases"], *asked["rules"]))
    first = next(one for one in found["rows"] if one["release"] == "main-2026-08")
    assert first["does"] == "RESTART_BM: cordon, drain, reboot"
    assert first["marked"] == {"detected": True, "why": "rule xid"}
    assert first["bare"] == {"detected": False, "why": "journald cuts off 'NVRM:'"}


def test_what_a_page_says_of_a_scenario_is_there() -> None:
    cells = offbus("matrix", "scenarios/xid.yaml").stdout
    for fault in faults():
        for command in entry_of(fault, with_oracles=False).drilled_by:
            _, _, path, *cell = command.split(" ")
            assert (REPOSITORY / path).is_file()
            assert not cell or cell[1] in cells
