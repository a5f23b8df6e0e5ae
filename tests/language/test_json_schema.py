"""The schema for editors: committed as it is generated, and of the same opinion as the loader wherever it has one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from offbus.cli.commands.schema import SCHEMAS, schema_text
from offbus.language.jsonschema import scenario_schema
from offbus.language.load import load_scenario
from offbus.plugins import Registry
from tests.kits import REPOSITORY
from tests.kits.language.drill_types import ENVIRONMENTS, STEPS, drill, findings, registry

ROOT = REPOSITORY


@pytest.fixture(scope="module")
def types() -> Registry:
    """The types in drill_types."""
    given = registry()
    return Registry(
        {key: found for key, found in given._plugins.items() if key[1] != "broken"}, given._loaded
    )


@pytest.fixture(scope="module")
def schema(types: Registry) -> Mapping[str, Any]:
    return scenario_schema(types)


def test_the_committed_schema_is_what_the_installed_types_give() -> None:
    assert (ROOT / "schemas" / "scenario.json").read_text() == schema_text("scenario", is_published=True), (
        "run: make generate"
    )


def every_property(schema: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each property with its path, but for those of conditions, which editors do not show."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            yield from every_property(item, f"{path}/{number}")
    elif isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            yield f"{path}/{name}", value
        for key, value in schema.items():
            if key not in ("if", "then", "examples", "default"):
                yield from every_property(value, f"{path}/{key}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_valid_has_a_version_and_describes_every_property(name: str) -> None:
    made = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(made)
    assert re.fullmatch(rf"https://offbus\.dev/schemas/{name}/[0-9]+\.json", made["$id"])
    found = list(every_property(made))
    assert len(found) > 10
    assert [path for path, value in found if not value.get("description")] == []


@pytest.mark.parametrize(("name", "times"), [("report", 2), ("journal", 1), ("matrix", 2)])
def test_times_are_told_to_be_times(name: str, times: int) -> None:
    made = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
    assert sum(value.get("format") == "date-time" for _, value in every_property(made)) == times


@pytest.mark.parametrize(
    ("uses", "here", "published"),
    [
        ("deploy", True, True),
        ("deplay", False, False),
        ("acme.deploy", False, True),
        ("acme/deploy", False, True),
    ],
)
def test_an_installation_knows_its_step_types_and_everybody_those_of_others_by_their_names(
    schema: Mapping[str, Any], types: Registry, uses: str, here: bool, published: bool
) -> None:
    document = yaml.safe_load(drill(f"{{id: a, uses: {uses}}}"))
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is here
    opened = scenario_schema(types, others=True)
    assert jsonschema.Draft202012Validator(opened).is_valid(document) is published


def test_a_step_type_of_another_package_may_have_a_dotted_name(tmp_path: Path, types: Registry) -> None:
    named = replace(STEPS["deploy"], name="acme.deploy")
    file = tmp_path / "drill.yaml"
    file.write_text(drill("{id: a, uses: acme.deploy}"))
    assert load_scenario(file, registry=Registry.of(steps={"acme.deploy": named}, environments=ENVIRONMENTS))
    for wrong in ("Acme.deploy", ".deploy", "acme..deploy", "acme/", "a b", ""):
        with pytest.raises(ValueError, match="lower-case identifiers"):
            replace(named, name=wrong)


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
        ("environment: {uses: other, anything: 1}\nguards: {whatever: 1}\n", False),
        ("environment: {uses: far, context: x}\n", False),
        ("environment:\nguards:\n", True),
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
    schema = json.loads((ROOT / "schemas" / "scenario.json").read_text())
    files = sorted((ROOT / "scenarios").glob("*.yaml"))
    assert files
    for file in files:
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
