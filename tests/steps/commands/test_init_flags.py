"""`offbus init`: whatever its options say, what it writes is valid; and what it cannot write is refused."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import jsonschema
import pytest
import yaml

from offbus.cli.main import cli
from offbus.language.load import load_cells
from offbus.language.plan import make_plan
from offbus_steps.commands.scaffold.drill import Asked, drill_of
from offbus_steps.commands.scaffold.existing import existing_of
from offbus_steps.commands.scaffold.recipes import BACKENDS, ENVIRONMENTS, FROM_KINDS, RECIPES
from offbus_steps.commands.scaffold.render import TEMPLATES, scenario_text
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.manifest import read_manifest
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS
from tests.kits import REPOSITORY
from tests.kits.steps.init_flags import combinations, recipes_and_xids
from tests.kits.steps.manifests import (
    agg,
    beta_agg,
    deployment,
    disagg_router,
    leader_worker_set,
    stateful_set,
)

ALL = list(combinations())
TARGETS = REPOSITORY / "scenarios" / "targets"


def init(*words: object) -> None:
    """The command, in this process."""
    assert cli.main(args=["init", *map(str, words)], standalone_mode=False) in (None, 0)


def offbus(*words: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "offbus", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL
    )


def checked(path: Path, data: bytes | None = None) -> None:
    """No finding, not even a warning; a plan can be made, everything is filled in."""
    loaded = load_cells(path, environ={}, data=data)
    for scenario in loaded.scenarios:
        assert scenario.warnings == ()
        assert make_plan(scenario).steps
    text = path.read_text() if data is None else data.decode()
    assert not re.search(r"[^\w]@\w", text), "something was not filled in"


@pytest.mark.parametrize("part", range(8))
def test_what_it_writes_is_valid_for_every_combination_of_its_options(tmp_path: Path, part: int) -> None:
    ours = ALL[part::8]
    assert ours
    for options in ours:
        folder = tmp_path / "drills"
        folder.mkdir()
        (folder / "scenario.schema.json").write_text("{}")  # making it takes longer than all the rest
        init(folder, *options)
        [scenario] = folder.glob("*.yaml")
        checked(scenario)
        [manifest] = folder.glob("targets/*.yaml")
        [workload] = read_manifest(manifest)
        assert scenario.stem == manifest.stem, options
        assert workload["metadata"]["namespace"] in ("drill-demo", "on")
        for path in (scenario, manifest, folder / "scenario.schema.json"):
            path.unlink()
        manifest.parent.rmdir()
        folder.rmdir()


WORKLOADS = {
    "Deployment": deployment(),
    "StatefulSet": stateful_set(),
    "groups": leader_worker_set(),
    "graph": agg(),
    "beta graph": beta_agg(),
    "disaggregated": disagg_router(),
}


@pytest.mark.parametrize("what", list(recipes_and_xids()), ids=" ".join)
@pytest.mark.parametrize("obj", WORKLOADS.values(), ids=WORKLOADS)
def test_a_scenario_of_a_workload_that_is_there_is_valid(
    tmp_path: Path, obj: Object, what: list[str]
) -> None:
    recipe = what[1] if "--recipe" in what else None
    xids = tuple(int(one) for word in what[::-1][::2] if word[0].isdigit() for one in word.split(","))
    for (name, namespace), port, env in product((("llm", "prod"), ("0x1", "no")), (None, 8080), ENVIRONMENTS):
        target = existing_of(obj, Ref(obj["kind"], name, namespace), port)
        made = drill_of(
            Asked(recipe=recipe, xids=xids, env=env)
        )  # looking at one takes a cluster (tests/kubernetes)
        checked(tmp_path / "x.yaml", scenario_text(replace(made, target=target)).encode())


def test_with_one_replica_it_does_not_ask_for_what_cannot_be(tmp_path: Path) -> None:
    target = existing_of(agg(), Ref("DynamoGraphDeployment", "llm", "prod"), None)
    text = scenario_text(replace(drill_of(Asked()), target=target))
    assert "min_healthy_replicas: 0  # the target has one replica" in text
    assert "success_rate >= 0.0  # the target has one replica" in text


@pytest.mark.parametrize("recipe", ["cordon-and-drain", "matrix"])
def test_what_a_comment_offers_is_valid_too(tmp_path: Path, recipe: str) -> None:
    init(tmp_path, "--recipe", recipe, "--env", "kubernetes")
    [scenario] = tmp_path.glob("*.yaml")
    text, number = re.subn(r"^  # - \{id: ", "  - {id: ", scenario.read_text(), flags=re.MULTILINE)
    assert number
    checked(scenario, text.encode())


@pytest.mark.parametrize("backend", BACKENDS)
def test_its_targets_on_local_are_those_of_the_shipped_scenarios(tmp_path: Path, backend: str) -> None:
    init(tmp_path, "--backend", backend)
    [made] = yaml.safe_load_all((tmp_path / "targets/xid79.yaml").read_text())
    text = (TARGETS / f"{backend}.yaml").read_text()
    [shipped] = yaml.safe_load_all(text.replace(f"{backend}-agg", "inference"))
    assert made == shipped


def test_every_kind_that_can_be_a_target_can_be_named() -> None:
    assert set(FROM_KINDS) == set(WORKLOAD_KINDS)


def test_the_schema_that_the_first_line_names_is_there_and_takes_it(tmp_path: Path) -> None:
    init(tmp_path)
    text = (tmp_path / "xid79.yaml").read_text()
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert named is not None
    schema = json.loads((tmp_path / named[1]).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_its_lines_can_be_read_beside_something_else() -> None:
    found = [path for path in TEMPLATES.rglob("*.yaml") if max(map(len, path.read_text().splitlines())) > 120]
    assert list(TEMPLATES.rglob("*.yaml"))
    assert found == []


def test_every_recipe_is_listed() -> None:
    done = offbus("init", "--list-recipes")
    assert done.returncode == 0
    for recipe in RECIPES.values():
        assert f"{recipe.name} " in done.stdout
        assert recipe.summary in done.stdout


def test_a_second_scenario_in_the_same_folder_leaves_the_first_alone(tmp_path: Path) -> None:
    init(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    done = offbus("init", tmp_path, "--recipe", "contained")
    assert done.returncode == 0, done.stderr
    assert "scenario.schema.json" not in done.stdout
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.rglob("*.*")}.items()
    assert offbus("validate", *tmp_path.glob("*.yaml")).returncode == 0


def test_what_comes_next_can_be_typed(tmp_path: Path) -> None:
    done = offbus(
        "init",
        "my drills",
        "--xid",
        "79,48",
        "--env-set",
        "kubeconfig=a b",
        "--env",
        "kubernetes",
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == [
        "wrote my drills/xids.yaml",
        "wrote my drills/targets/xids.yaml",
        "wrote my drills/scenario.schema.json",
        "",
        "Next:",
        "  offbus validate 'my drills/xids.yaml'",
        "  offbus matrix 'my drills/xids.yaml'",
        "  offbus plan 'my drills/xids.yaml' --env-set 'kubeconfig=a b'",
        "  offbus run 'my drills/xids.yaml' --env-set 'kubeconfig=a b'",
    ]
    assert "environment: {uses: kubernetes}" in (tmp_path / "my drills/xids.yaml").read_text(), (
        "a scenario may not name a kubeconfig"
    )


WRONG = {
    "--recipe containd": "Did you mean 'contained'?",
    "--recipe x": "'cordon-and-drain', 'contained', 'matrix', 'detect', 'crash'",
    "--env kubernets": "Did you mean 'kubernetes'?",
    "--backend vlm": "Did you mean 'vllm'?",
    "--xid x": "several have commas between: 79,48",
    "--xid=": "'' is not the number of an XID",
    "--xid 7999": "did you mean 79?",
    "--recipe contained --xid 79": "for XID 79 there is --recipe cordon-and-drain or matrix",
    "--recipe crash --xid 63": "recipe crash is for XIDs that CUDA programs see, not for XID 63",
    "--recipe detect --xid 79,48": "--recipe matrix plays several",
    "--name A": "up to 63 lower-case letters",
    f"--name {'a' * 64}": "up to 63 lower-case letters",
    "--name ../a": "cannot be the name of a scenario",
    "-n Prod": "'Prod' is not a namespace's name",
    "--env local --image x": "say --env kubernetes",
    "--env local --context x": "say --env kubernetes",
    "--image a{b": "cannot be an image",
    "--port 80": "that of a workload that --from names",
    "--from llm": "such as deployment/llm; kinds are deployment, statefulset",
    "--from /llm": "is not KIND/NAME",
    "--from deploymnt/llm": "did you mean 'deployment'?",
    "--from pod/llm": "a pod cannot be a target",
    "--from deploy/LLM": "cannot be the name of a Deployment",
    "--from deploy/llm --backend vllm": "no --backend and no --image",
    "--env-set nods=3": "did you mean 'nodes'?",
    "--env-set nodes=many": "--env-set nodes: it must be a valid integer",
    "--env-set x": "is not NAME=VALUE",
}


@pytest.mark.parametrize(("options", "says"), WRONG.items(), ids=WRONG)
def test_wrong_options_are_refused_with_what_is_allowed(tmp_path: Path, options: str, says: str) -> None:
    done = offbus("init", "new", *options.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_file_is_no_folder(tmp_path: Path) -> None:
    done = offbus("init", "drills/llm.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "such as `offbus init drills --name llm`" in done.stderr


@pytest.mark.parametrize(
    ("folder", "says"),
    [("n" * 300, "File name too long"), ("taken", "taken is not a folder"), ("taken/x", "Not a directory")],
    ids=["too long", "a file", "below a file"],
)
def test_a_folder_that_cannot_be_is_told(tmp_path: Path, folder: str, says: str) -> None:
    (tmp_path / "taken").write_text("mine")
    done = offbus("init", folder, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def completed(*words: str) -> Sequence[str]:
    """What bash is told after these words, the last of which is being typed."""
    from click.shell_completion import BashComplete

    complete = BashComplete(cli, {}, "offbus", "_OFFBUS_COMPLETE")
    return [one.value for one in complete.get_completions(["init", *words[:-1]], words[-1])]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--recipe", "co"], ["cordon-and-drain", "contained"]),
        (["--backend", ""], ["vllm", "sglang", "trtllm", "deployment"]),
        (["--env", "k"], ["kubernetes"]),
        (["--xid", "79,9"], ["79,9", "79,90", "79,91", "79,92"]),
        (["--from", "d"], ["deployment/", "dynamographdeployment/"]),
        (["--rec"], ["--recipe"]),
    ],
    ids=" ".join,
)
def test_options_are_completed(words: list[str], found: list[str]) -> None:
    assert list(completed(*words))[: len(found)] == found
