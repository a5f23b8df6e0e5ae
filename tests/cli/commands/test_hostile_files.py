"""Files that are none, names that are not fit to print, numbers without end: one clear message each, never a traceback.

Nothing waits for a pipe, nothing reads a device, and nothing is written into what offbus cannot read.
"""

import fcntl
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus.journal.codec import DamagedLine, decode, encode
from offbus.journal.events import VERSION
from offbus.runs import RunFolder
from tests.cli.conftest import Offbus
from tests.kits.cli.drill_journal import killed

DIGITS = "9" * 5000
SCENARIO = """\
offbus: 1
name: tiny
summary: Waits.
inputs: {{n: {{type: integer, default: 1}}, f: {{type: number, default: 1.0}}, t: {{type: string, default: a}},
          d: {{type: duration, default: 1s}}}}
environment: {{uses: local}}
steps:
  - {{id: watch, uses: deploy, when: {when}, with: {{{params}}}}}
"""
EXISTING = "existing: {kind: Deployment, name: a, namespace: b}"


def told(result: Any, code: int, *words: str) -> str:
    """The exit code, the words, no traceback, and no line that a terminal or a CI runner would obey."""
    text = result.stdout + result.stderr
    assert result.returncode == code, text[:2000]
    assert "Traceback" not in text
    assert "internal error" not in text
    for word in words:
        assert word in text, text[:2000]
    assert "\x1b" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines()), text
    assert not re.search(r"##[\w.]*\[", text)
    return text


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose runner was killed."""
    drill, _ = killed(tmp_path / "state/offbus/runs")
    drill.journal.close()
    drill.folder.unfinished.write_text(json.dumps({"identity": "local:somewhere"}))
    return drill.folder


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


NO_FILES = pytest.mark.parametrize(
    ("make", "what"),
    [(pipe, "a pipe"), (device, "a device"), (folder, "a folder")],
    ids=["a pipe", "an endless device", "a folder"],
)


class TestNoFiles:
    @NO_FILES
    @pytest.mark.parametrize(
        "command", [["report"], ["recover"], ["recover", "--plan"], ["residue"], ["stop"]], ids=" ".join
    )
    def test_a_journal(
        self, offbus: Offbus, run: RunFolder, make: Callable[[Path], None], what: str, command: list[str]
    ) -> None:
        run.journal.unlink()
        make(run.journal)
        done = offbus(*command, run.path)
        if command[-1] in ("recover", "residue", "stop") and make is not folder:
            told(done, 2, f"{run.journal} is ", "offbus makes no such thing in a run's folder")
        elif command == ["stop"]:
            told(done, 3, "did not finish")
        else:
            told(done, 3, f"cannot read the journal {run.journal}", f"it is {what}, not a file")

    @NO_FILES
    @pytest.mark.parametrize("name", ["unfinished", "lock"])
    def test_a_file_beside_the_journal_stops_no_other_run(
        self,
        offbus: Offbus,
        tmp_path: Path,
        run: RunFolder,
        make: Callable[[Path], None],
        what: str,
        name: str,
    ) -> None:
        (run.path / name).unlink(missing_ok=True)
        make(run.path / name)
        (tmp_path / "x.yaml").write_text(SCENARIO.format(when="'false'", params=EXISTING))
        done = offbus(
            "run", "x.yaml", "--env", "local", "--env-set", "nodes=1", "--env-set", "responder=false"
        )
        assert done.returncode in (1, 3), done.stderr
        told(done, done.returncode)

    @NO_FILES
    def test_a_saved_fingerprint(
        self, offbus: Offbus, tmp_path: Path, make: Callable[[Path], None], what: str
    ) -> None:
        make(tmp_path / "saved")
        words = ["'saved' is a directory"] if make is folder else ["cannot read saved", f"it is {what}"]
        told(offbus("residue", "--env", "local", "--against", "saved"), 2, *words)

    def test_a_lock_that_leads_elsewhere_is_not_written_through(
        self, offbus: Offbus, tmp_path: Path, run: RunFolder
    ) -> None:
        precious = tmp_path / "precious"
        precious.write_text("mine")
        (run.path / "lock").unlink(missing_ok=True)
        (run.path / "lock").symlink_to(precious)
        told(offbus("recover", run.path), 2, f"{run.path / 'lock'} is a symbolic link")
        assert precious.read_text() == "mine"

    @pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"pid": ' + DIGITS + "}", '{"pid": 1e999}'])
    def test_a_lock_file_that_names_nobody(self, offbus: Offbus, run: RunFolder, text: str) -> None:
        """Held, as far as the file goes, by nobody that could be named."""
        with (run.path / "lock").open("w") as held:
            held.write(text)
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            told(offbus("stop", run.path), 3, "does not say which process holds it")
            told(offbus("recover", run.path), 3, "another process")

    def test_a_holder_with_a_number_that_no_process_has(self, offbus: Offbus, run: RunFolder) -> None:
        holder = {
            "owner": "me\n::error::x",
            "host": "h",
            "boot": "b",
            "pid": 2**40,
            "started": 1,
            "task": "run",
        }
        with (run.path / "lock").open("w") as held:
            held.write(json.dumps(holder))
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            told(offbus("stop", run.path), 3, "does not say which process holds it")

    @pytest.mark.parametrize("command", ["validate", "plan", "run"])
    @pytest.mark.parametrize("name", ['"a\\0b"', '"\\u0000"'])
    def test_a_manifest_whose_name_holds_a_nul(
        self, offbus: Offbus, tmp_path: Path, command: str, name: str
    ) -> None:
        (tmp_path / "x.yaml").write_text(SCENARIO.format(when="'true'", params=f"manifest: {name}"))
        told(offbus(command, "x.yaml"), 2, "x.yaml:8:", "manifest", "holds a NUL")


class TestNewerJournals:
    def newer(self, run: RunFolder, number: int) -> bytes:
        """The journal with one line of the next format."""
        lines = run.journal.read_bytes().splitlines(keepends=True)
        event = json.loads(lines[number])
        del event["crc"]
        body = json.dumps({**event, "v": VERSION + 1, "mood": "new"}, separators=(",", ":")).encode()[:-1]
        lines[number] = b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))
        whole = b"".join(lines)
        run.journal.write_bytes(whole)
        return whole

    @pytest.mark.parametrize("number", [0, 3, -1], ids=["first", "middle", "last"])
    @pytest.mark.parametrize(
        "command", [["report"], ["recover"], ["recover", "--plan"], ["residue"]], ids=" ".join
    )
    def test_are_left_to_a_newer_offbus(
        self, offbus: Offbus, run: RunFolder, command: list[str], number: int
    ) -> None:
        whole = self.newer(run, number)
        words = (f"format {VERSION + 1}", f"up to format {VERSION}", "use a newer offbus")
        told(offbus(*command, run.path), 3, str(run.journal), *words)
        assert run.journal.read_bytes() == whole
        assert run.unfinished.exists()

    def test_one_that_is_damaged_too_is_not_taken_for_another_kind_of_damage(
        self, offbus: Offbus, run: RunFolder
    ) -> None:
        """Two events in a line whose end was changed: what is left of it is looked through."""
        whole = self.newer(run, 3)
        lines = whole.splitlines(keepends=True)
        lines[2:4] = [lines[2].rstrip(b"\n") + b" " + lines[3]]
        run.journal.write_bytes(b"".join(lines))
        told(offbus("recover", run.path), 3, "use a newer offbus")

    @pytest.mark.parametrize("version", [0, -1, True, None, "3", 1.5])
    def test_what_is_no_later_version_is_damage(self, run: RunFolder, version: Any) -> None:
        event = json.loads(run.journal.read_bytes().splitlines()[0])
        event.pop("crc")
        with pytest.raises(DamagedLine):
            decode(encode({**event, "v": version}))


class TestNumbers:
    @pytest.mark.parametrize(
        "given",
        [
            "n=" + DIGITS,
            "n=-" + DIGITS,
            "n=0x" + DIGITS,
            f"n={2**63}",
            "f=" + DIGITS,
            "d=" + DIGITS + "s",
            "n=²",
            "n=1_0",
        ],
        ids=lambda given: given[:5],
    )
    @pytest.mark.parametrize("command", ["validate", "plan"])
    def test_on_the_command_line(self, offbus: Offbus, tmp_path: Path, command: str, given: str) -> None:
        (tmp_path / "x.yaml").write_text(SCENARIO.format(when="'true'", params=EXISTING))
        text = told(offbus(command, "x.yaml", "--set", given), 2, "OB505", given[:5])
        assert len(text) < 1500

    @pytest.mark.parametrize(
        "line",
        [
            "timeout: " + DIGITS,
            f"timeout: {DIGITS}s",
            f"inputs: {{n: {{type: integer, default: {DIGITS}}}}}",
            f"inputs: {{n: {{type: integer, default: 0x{DIGITS}}}}}",
            f"inputs: {{n: {{type: integer, default: {2**64}}}}}",
            f"guards: {{max_cordoned_nodes: {DIGITS}}}",
            f"environment: {{uses: local, nodes: {DIGITS}}}",
            f"expect: ['{DIGITS} > 1']",
        ],
        ids=lambda line: line[:20],
    )
    def test_in_a_scenario(self, offbus: Offbus, tmp_path: Path, line: str) -> None:
        key = line.partition(":")[0]
        lines = [
            one
            for one in SCENARIO.format(when="'true'", params=EXISTING).splitlines()
            if not one.startswith((f"{key}:", "          d"))
        ]
        lines = [one.rstrip(",") + "}" if one.startswith("inputs") else one for one in lines]
        (tmp_path / "x.yaml").write_text("\n".join([*lines, line]))
        for command in ("validate", "plan"):
            text = told(offbus(command, "x.yaml"), 2, "x.yaml:")
            assert len(text) < 3000

    def test_a_text_that_is_not_utf_8(self, offbus: Offbus, tmp_path: Path) -> None:
        (tmp_path / "x.yaml").write_text(SCENARIO.format(when="\"inputs.t == 'a'\"", params=EXISTING))
        told(offbus("validate", "x.yaml", "--set", "t=\udcff"), 2, "OB505", "UTF-8")


HOSTILE = [
    "a\n::error::x.yaml",
    "::error::x.yaml",
    "##[error]x.yaml",
    "##vso[task.setvariable]x.yaml",
    "##teamcity[x].yaml",
    "\x1b[31mred\x1b[0m.yaml",
    "\u202egpj.yaml",
    "a\r::error::b",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
class TestTerminals:
    """Names and texts of a scenario, on a terminal and in the log of a CI runner."""

    @pytest.mark.parametrize(
        "command", [["validate"], ["plan"], ["plan", "--format", "json"], ["run"]], ids=" ".join
    )
    @pytest.mark.parametrize(
        "text",
        [None, "a: [1\nb: 2", SCENARIO.format(when="'nope'", params=EXISTING)],
        ids=["none", "no YAML", "invalid"],
    )
    def test_a_scenario_that_is_wrong(
        self, offbus: Offbus, tmp_path: Path, name: str, command: list[str], text: str | None
    ) -> None:
        if text is not None:
            (tmp_path / name).write_text(text)
        told(offbus(*command, "--", name), 2)

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_the_findings_of_several_files(
        self, offbus: Offbus, tmp_path: Path, name: str, form: str
    ) -> None:
        (tmp_path / name).write_text(SCENARIO.format(when="'nope'", params=EXISTING))
        (tmp_path / f"good-{name}").write_text(SCENARIO.format(when="'true'", params=EXISTING))
        told(offbus("validate", "--format", form, "--", name, f"good-{name}"), 2, "OB")

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_what_a_valid_scenario_says(self, offbus: Offbus, tmp_path: Path, name: str, form: str) -> None:
        said = json.dumps(name)  # YAML's double quotes are JSON's
        text = SCENARIO.format(when=f'"inputs.t != {json.dumps(said)[1:-1]}"', params=EXISTING)
        text = text.replace("summary: Waits.", f"summary: {said}").replace(
            "default: a}", f"default: {said}}}"
        )
        (tmp_path / "x.yaml").write_text(text + f'expect: ["inputs.t != {json.dumps(said)[1:-1]}"]\n')
        told(offbus("plan", "--format", form, "x.yaml"), 0)

    @pytest.mark.parametrize(
        "command",
        [
            ["report"],
            ["recover"],
            ["stop"],
            ["residue"],
            ["steps"],
            ["residue", "--env"],
            ["residue", "--env", "local", "--against"],
            ["run", "x.yaml", "--set"],
            ["run", "x.yaml", "--env"],
            ["report", "latest", "--runs"],
            [],
        ],
        ids=" ".join,
    )
    def test_an_argument_that_names_nothing(
        self, offbus: Offbus, tmp_path: Path, name: str, command: list[str]
    ) -> None:
        (tmp_path / "x.yaml").write_text(SCENARIO.format(when="'true'", params=EXISTING))
        told(offbus(*command, name), 2)

    def test_a_folder_of_runs(self, offbus: Offbus, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        told(offbus("report", "latest", "--runs", tmp_path / name), 2)
        told(offbus("residue", "--env", "local", "--against", tmp_path / name), 2)

    def test_a_manifest(self, offbus: Offbus, tmp_path: Path, name: str) -> None:
        text = SCENARIO.format(when="'true'", params=f"manifest: {json.dumps(name)}")
        (tmp_path / "x.yaml").write_text(text)
        told(offbus("validate", "x.yaml"), 2, "OB")
        (tmp_path / name).write_text("kind: Nothing")
        told(offbus("validate", "x.yaml"), 2, "OB")
