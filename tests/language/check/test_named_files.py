"""Files that a scenario names lie in its repository, or in its folder where it is in none: one rule for all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from offbus.findings.model import Finding
from tests.kits.language.drill_types import drill, findings, load

INNER = drill("{id: a, uses: ask}")
KINDS = {
    "a file that a step reads": "{id: x, uses: read, with: {file: %s}}",
    "a file that is inlined": "{id: x, uses: scenario, with: {file: %s}}",
}
each_kind = pytest.mark.parametrize("step", KINDS.values(), ids=KINDS)


@pytest.fixture
def drills(tmp_path: Path) -> Path:
    """A folder of scenarios in a repository; beside that, and beside the drills, the same file."""
    folder = tmp_path / "repository" / "ops" / "drills"
    (folder / "parts").mkdir(parents=True)
    git = tmp_path / "repository" / ".git"
    git.mkdir()
    for where in (tmp_path, tmp_path / "repository", folder.parent, folder, folder / "parts", git):
        (where / "x.yaml").write_text(INNER)
    (git / "config").write_text(INNER)
    return folder


def refused(folder: Path, step: str, name: str) -> Finding:
    found = findings(folder, drill(step % name))
    assert len(found) == 1, found
    assert found[0].code == "OB310"
    assert found[0].frame is not None
    assert found[0].frame[found[0].where.column - 1 :].startswith(name[:4])
    return found[0]


@each_kind
@pytest.mark.parametrize(
    "name", ["x.yaml", "parts/x.yaml", "../x.yaml", "../../x.yaml", "../drills/x.yaml", "up/x.yaml"]
)
def test_those_of_the_repository_are_read(drills: Path, step: str, name: str) -> None:
    (drills / "up").symlink_to("..")
    assert load(drills, drill(step % name))


@each_kind
def test_one_that_is_named_from_the_root_may_be_of_the_repository(drills: Path, step: str) -> None:
    assert load(drills, drill(step % f"{drills.parent}/x.yaml"))


OUTSIDE: dict[str, Callable[[Path], str]] = {
    "above": lambda _: "../../../x.yaml",
    "from the root": lambda _: "/etc/hostname",
    "beside, from the root": lambda drills: f"{drills.parents[2]}/x.yaml",
    "a link": lambda _: "link.yaml",
    "a link to a folder": lambda _: "outside/x.yaml",
    "what is not there": lambda _: "../../../nothing.yaml",
}


@each_kind
@pytest.mark.parametrize("outside", OUTSIDE.values(), ids=OUTSIDE)
def test_those_outside_are_refused(drills: Path, step: str, outside: Callable[[Path], str]) -> None:
    (drills / "link.yaml").symlink_to(drills.parents[2] / "x.yaml")
    (drills / "outside").symlink_to(drills.parents[2])
    found = refused(drills, step, outside(drills))
    assert f"outside of the repository of the scenario, {drills.parents[1]}" in found.message
    assert found.hint == "a file that a scenario names is in its repository: copy it there"


@each_kind
@pytest.mark.parametrize("name", ["../../.git/config", "../../.git/x.yaml", "../../.GIT/config", "link.yaml"])
def test_what_git_keeps_for_itself_is_refused(drills: Path, step: str, name: str) -> None:
    """A checkout in CI has its token there."""
    (drills / "link.yaml").symlink_to(drills.parents[1] / ".git" / "config")
    assert "below .git, which" in refused(drills, step, name).message


@each_kind
def test_without_a_repository_it_is_the_folder(tmp_path: Path, step: str) -> None:
    folder = tmp_path / "drills"
    (folder / "parts").mkdir(parents=True)
    for where in (tmp_path, folder / "parts"):
        (where / "x.yaml").write_text(INNER)
    assert load(folder, drill(step % "parts/x.yaml"))
    found = refused(folder, step, "../x.yaml")
    assert f"outside of the folder of the scenario, {folder}" in found.message
    assert found.hint == "a file that a scenario names is below its folder, as that is in no git repository"


def test_a_repository_within_another_is_one_of_its_own(drills: Path) -> None:
    (drills / ".git").write_text("gitdir: elsewhere\n")  # as that of a submodule or a worktree
    refused(drills, KINDS["a file that a step reads"], "../x.yaml")
    assert load(drills, drill(KINDS["a file that a step reads"] % "parts/x.yaml"))


def test_what_another_input_would_name_is_a_warning(drills: Path) -> None:
    header = "inputs: {where: {type: string, default: ., enum: [., ../../..]}}\n"
    scenario = load(drills, drill('{id: x, uses: read, with: {file: "${{ inputs.where }}/x.yaml"}}', header))
    [warning] = scenario.warnings
    assert warning.code == "OB310"
    assert "with --set where=../../..: " in warning.message
    assert "outside of the repository" in warning.message
