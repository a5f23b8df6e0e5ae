"""The package of docs/extend.md, installed as a user would, is played by offbus like its own types.

It brings an environment of real files, so these tests also play the engine from the outside: the command, the
journal, the undo, recovery after `kill -9`.
"""

import json
import os
import shutil
import zlib
from pathlib import Path

import pytest

from tests.kits.project.project_venv import EXAMPLE, REPOSITORY, Venv

KILLED = REPOSITORY / "tests/kits/journals/0.1.0/killed"


@pytest.fixture
def venv(example_venv: Path, tmp_path: Path) -> Venv:
    """The environment with the example in it, and run folders of this test's own."""
    return Venv(example_venv, tmp_path / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the scenario in it, and a file of the user's."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(EXAMPLE / "greeting.yaml", work)
    (work / "hello.txt").write_text("the user's own")
    return work


def report_of(tmp_path: Path) -> dict[str, object]:
    """The report of the only run."""
    [found] = (tmp_path / "state" / "offbus" / "runs").glob("*/report.json")
    loaded: dict[str, object] = json.loads(found.read_text())
    return loaded


def test_a_run_passes_and_gives_the_file_its_own_text_back(venv: Venv, folder: Path, tmp_path: Path) -> None:
    venv.run("offbus", "run", "greeting.yaml", cwd=folder)
    report = report_of(tmp_path)
    assert report["verdict"] == "passed"
    assert report["residue"] == []
    assert report["vacuous"] is False
    assert (folder / "hello.txt").read_text() == "the user's own"


def test_a_file_that_was_not_there_is_removed(venv: Venv, folder: Path) -> None:
    (folder / "hello.txt").unlink()
    venv.run("offbus", "run", "greeting.yaml", cwd=folder)
    assert not (folder / "hello.txt").exists()


def test_outputs_are_typed_in_expressions(venv: Venv, folder: Path) -> None:
    scenario = folder / "greeting.yaml"
    scenario.write_text(scenario.read_text().replace("outputs.lost >= 7", 'outputs.lost >= "7"'))
    found = venv.run("offbus", "validate", "greeting.yaml", cwd=folder, code=2)
    assert "greeting.yaml:16:32" in found.stdout + found.stderr
    assert "`>=` does not take int and string" in found.stdout + found.stderr


def test_an_output_that_the_type_does_not_have_is_found_at_load(venv: Venv, folder: Path) -> None:
    scenario = folder / "greeting.yaml"
    scenario.write_text(scenario.read_text().replace("outputs.lost >= 7", "outputs.size >= 7"))
    found = venv.run("offbus", "validate", "greeting.yaml", cwd=folder, code=2)
    assert "size" in found.stdout + found.stderr


def test_an_expectation_that_does_not_hold_fails_the_run_and_still_undoes(venv: Venv, folder: Path) -> None:
    venv.run("offbus", "run", "greeting.yaml", "--set", "who=two words", cwd=folder, code=1)
    assert (folder / "hello.txt").read_text() == "the user's own"


def test_the_guard_of_the_environment_is_enforced(venv: Venv, folder: Path) -> None:
    scenario = folder / "greeting.yaml"
    scenario.write_text(scenario.read_text().replace("*.txt", "*.md"))
    refused = venv.run("offbus", "run", "greeting.yaml", cwd=folder, code=3)
    assert "hello.txt matches none of *.md" in refused.stdout + refused.stderr
    assert (folder / "hello.txt").read_text() == "the user's own"


def test_a_folder_that_does_not_exist_is_one_clear_refusal(venv: Venv, folder: Path) -> None:
    scenario = folder / "greeting.yaml"
    scenario.write_text(scenario.read_text().replace("folder: .", "folder: elsewhere"))
    refused = venv.run("offbus", "run", "greeting.yaml", cwd=folder, code=3)
    assert "there is no folder" in refused.stdout + refused.stderr


def wait_at_a_gate(folder: Path) -> Path:
    """Let the scenario read a fifo after it wrote: who opens it for writing knows that the run has come there."""
    gate = folder / "gate.txt"
    os.mkfifo(gate)
    scenario = folder / "greeting.yaml"
    step = "  - {id: gate, uses: read_file, with: {name: gate.txt}}\n"
    text = scenario.read_text()
    scenario.write_text(text.replace("  - {id: heal", step + "  - {id: heal"))
    return gate


def test_what_was_changed_behind_the_runs_back_is_reported_and_left_alone(venv: Venv, folder: Path) -> None:
    gate = wait_at_a_gate(folder)
    running = venv.start("offbus", "run", "greeting.yaml", cwd=folder)
    with gate.open("w") as opened:
        (folder / "hello.txt").write_text("somebody else's")
        opened.write("go on")
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 4, out
    assert "hello.txt was changed by somebody else" in out
    assert (folder / "hello.txt").read_text() == "somebody else's"


def test_a_killed_run_is_refused_a_successor_and_recovered(venv: Venv, folder: Path) -> None:
    gate = wait_at_a_gate(folder)
    running = venv.start("offbus", "run", "greeting.yaml", cwd=folder)
    with gate.open("w"):
        running.kill()
        running.communicate(timeout=60)
    assert (folder / "hello.txt").read_text() == "hello"
    refused = venv.run("offbus", "run", "greeting.yaml", cwd=folder, code=3)
    assert "offbus recover" in refused.stdout + refused.stderr
    venv.run("offbus", "recover", cwd=folder)
    assert (folder / "hello.txt").read_text() == "the user's own"


def moved_to(folder: Path, journal: bytes) -> bytes:
    """A journal as if its run had acted on that folder: the checksums are made anew."""
    lines = []
    for line in journal.replace(b"/tmp/offbus-0.1.0/work", str(folder).encode()).splitlines():
        body = line.rpartition(b',"crc":"')[0]
        lines.append(b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body)))
    return b"".join(lines)


def test_a_run_that_an_older_version_began_is_finished(venv: Venv, folder: Path, tmp_path: Path) -> None:
    """The journal of `greeting.yaml`, killed under 0.1.0 when the file had been cut off."""
    shutil.copy(KILLED / "greeting.yaml", folder)
    (folder / "hello.txt").write_text("hello")
    run = tmp_path / "state" / "offbus" / "runs" / "20261129T201451.356Z-greeting-294ece23"
    run.mkdir(parents=True, mode=0o700)
    (run / "journal.jsonl").write_bytes(moved_to(folder, (KILLED / "journal.jsonl").read_bytes()))
    (run / "unfinished").write_text(json.dumps({"identity": f"files:{folder}"}))
    venv.run("offbus", "recover", cwd=folder)
    assert (folder / "hello.txt").read_text() == "the user's own"
    report = report_of(tmp_path)
    assert (report["residue"], report["complete"]) == ([], True)
    assert {"offbus 0.1.0"} <= {f"{name} {version}" for name, version in report["versions"].items()}


def test_its_types_are_listed_and_explained_like_ours(venv: Venv, folder: Path) -> None:
    listed = venv.run("offbus", "steps", cwd=folder).stdout
    assert {"corrupt_file", "read_file", "write_file"} <= set(listed.split())
    page = venv.run("offbus", "steps", "write_file", cwd=folder).stdout
    assert "What the file holds afterwards." in page
    assert "offbus-example" in page
