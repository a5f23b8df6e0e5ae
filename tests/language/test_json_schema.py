"""The schema for editors: committed as it is generated, and of the same opinion as the loader wherever it has one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from offbus.cli.commands.schema import schema_text
from offbus.language.jsonschema import scenario_schema
from offbus.plugins import Registry
from tests.kits import REPOSITORY
from tests.kits.language.drill_types import STEPS, drill, findings, registry

ROOT = REPOSITORY


@pytest.fixture(scope="module")
def schema() -> Mapping[str, Any]:
    """Of the types in drill_types."""
    given = registry()
    loadable = {key: found for key, found in given._plugins.items() if key[1] != "broken"}
    return scenario_schema(Registry(loadable, given._loaded))


def test_the_committed_schema_is_what_the_installed_types_give() -> None:
    assert (ROOT / "schemas" / "scenario.json").read_text() == schema_text("scenario"), (
        "run: offbus schema scenario > schemas/scenario.json"
    )


def test_it_is_a_valid_schema(schema: Mapping[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


VALID = {
    "params": "{id: d, uses: deploy, with: {manifest: x, backend: sglang}}",
    "an expression for an integer": '{id: d, uses: inject, with: {xid: "${{ inputs.n }}", target: {kind: a, name: b}}}',
    "an expression for an item": (
        '{id: d, uses: inject, with: {xid: 1, planes: ["${{ inputs.p }}"], target: {kind: a, name: b}}}'
    ),
    "an expression for an object": (
        "{id: d, uses: deploy}\n"
        '{id: i, uses: inject, with: {xid: 1, target: "${{ steps.d.outputs.target }}"}}'
    ),
    "a duration": "{id: d, uses: ask, timeout: 1h30m, retry: {attempts: 2, backoff: 500ms}}",
}

INVALID = {
    "an unknown key": "{id: d, uses: deploy, timout: 1m}",
    "an unknown param": "{id: d, uses: deploy, with: {manifst: x}}",
    "a param of the wrong type": "{id: d, uses: ask, with: {rate: fast}}",
    "a missing param": "{id: d, uses: hold, with: {expr: node.cordoned}}",
    "not one of a few": "{id: d, uses: deploy, with: {backend: vlm}}",
    "not a duration": "{id: d, uses: deploy, timeout: 3x}",
    "an id that is not allowed": "{id: D, uses: deploy}",
    "a missing id": "{uses: deploy}",
}
INPUTS = "inputs: {n: {type: integer, default: 3}, p: {type: string, default: cuda}}\n"


@pytest.mark.parametrize("steps", VALID.values(), ids=VALID.keys())
def test_what_the_loader_takes_the_schema_takes(
    schema: Mapping[str, Any], tmp_path: Path, steps: str
) -> None:
    text = drill(steps, INPUTS)
    assert findings(tmp_path, text) == ()
    jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize("steps", INVALID.values(), ids=INVALID.keys())
def test_what_the_schema_refuses_the_loader_refuses(
    schema: Mapping[str, Any], tmp_path: Path, steps: str
) -> None:
    text = drill(steps)
    assert findings(tmp_path, text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema)


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        ("environment: {uses: local, nodes: 3}\n", True),
        ("environment: {uses: local, node: 3}\n", False),
        ("environment: {uses: local, keys: theirs}\n", False),
        ("environment: {uses: far}\n", False),
        ("guards: {max_cordoned_nodes: 1}\n", True),
        ("guards: {max_cordoned: 1}\n", False),
        ("environment: {uses: far, context: x}\nguards: {owner: me}\n", True),
        ("environment: {uses: far, context: x}\nguards: {max_cordoned_nodes: 1}\n", False),
        ("environment: {uses: other, anything: 1}\nguards: {whatever: 1}\n", True),
    ],
)
def test_options_and_guards_belong_to_the_environment(
    schema: Mapping[str, Any], header: str, valid: bool
) -> None:
    document = yaml.safe_load(drill("{id: a, uses: ask}", header))
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is valid


def test_every_step_type_is_described(schema: Mapping[str, Any]) -> None:
    named = {
        branch["const"]: branch["description"]
        for branch in schema["$defs"]["Step"]["properties"]["uses"]["anyOf"]
        if "const" in branch
    }
    assert named == {name: step.summary for name, step in STEPS.items()}


def test_every_committed_scenario_fits_the_committed_schema() -> None:
    import json

    schema = json.loads((ROOT / "schemas" / "scenario.json").read_text())
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    assert files
    for file in files:
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
