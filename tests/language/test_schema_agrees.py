# ruff: noqa: E501  (tables)
"""The JSON Schema of a scenario and the loader's structural part accept the same files: generated ones, and mutations.

Structural are the findings that a shape alone decides. Left out, because JSON Schema cannot say it: that 79.0 is no
integer, and what an expression comes to.
"""

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from offbus.findings.codes import Code
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.language.jsonschema import scenario_schema
from offbus.language.load import load_cells
from offbus.plugins import Registry
from tests.kits.language.drill_types import registry

CASES = int(os.environ.get("OFFBUS_SCENARIOS", "500"))
"""5,000 in CI."""
PARTS = 4
STRUCTURAL = {
    Code.FORMAT_VERSION, Code.MISSING_KEY, Code.UNKNOWN_KEY, Code.WRONG_TYPE, Code.NOT_ALLOWED, Code.NOT_A_DURATION,
    Code.BAD_NAME, Code.UNKNOWN_STEP_TYPE, Code.UNKNOWN_ENVIRONMENT, Code.GUARD_NOT_ENFORCED, Code.COMMAND_LINE_ONLY,
}  # fmt: skip
TARGET = {"kind": "Deployment", "name": "web"}
TEMPLATE = "${{ inputs.text }}"
POOL: list[Any] = [
    None, True, False, 0, 1, -1, 2, 79, 500, 10**12, 0.5, -2.5, "", "x", "a-b", "A", "in", "local", "far", "deploy", "ask",
    "cuda", "90s", "0s", "1h30m", "1.5h", "1.5h2m", "PT30S", "PT", "P1D", "3x", "1s2h", "-5s", "integer", "vllm", [], ["x"],
    [1], ["cuda", "x"], [[]], [{}], {}, {"a": "b"}, {"x": 1}, {"kind": "D", "name": "x"}, {"uses": "local"}, {"attempts": 3},
    [True, None], {"n": [1, 2]}, "x" * 64, "x" * 65,
]  # fmt: skip
"""What a value is replaced by. Numbers of 1.0's kind are left out."""


def valid(rng: random.Random) -> dict[str, Any]:
    """A file that the loader takes, with any of the keys."""

    def some(**fields: Any) -> dict[str, Any]:
        return {key: value for key, value in fields.items() if rng.random() < 0.5}

    def step(number: int, uses: str, given: dict[str, Any], **more: Any) -> dict[str, Any]:
        own = some(timeout="90s", keep_going=True, when="inputs.n > 0", retry=some(attempts=2, backoff="1s"))
        return {
            "id": f"s{number}",
            "uses": uses,
            **({"with": given} if given or rng.random() < 0.3 else {}),
            **own,
            **more,
        }

    steps = [
        step(0, "deploy", some(manifest="x", existing={**TARGET, **some(replicas=2)}, backend="sglang")),
        step(1, "inject", {"xid": 79, **some(planes=["kernel", "cuda"], wait="2s", ttl="1m", target=TARGET)}),
        step(
            2,
            "ask",
            some(rate=2, env={"A": "b"}, node=TEMPLATE, size=rng.choice([3, "90s"])),
            expect=["outputs.ok"],
        ),
        step(3, "hold", {"expr": "node.cordoned", "for": "10s"}, needs=["s0"]),
        step(4, "load", some(rate=1.5), background=True),
        step(5, "cleanup", {"steps": ["s1"]}, needs=["s1"]),
    ]
    environment = rng.choice(
        [
            {},
            {
                "environment": {"uses": "local", **some(nodes=2, label=TEMPLATE)},
                **some(guards=some(max_cordoned_nodes=2)),
            },
            {"environment": {"uses": "far", "context": "x"}, "guards": {"owner": "me"}},
        ]
    )
    inputs = {
        "n": {"type": "integer", "default": 3, **some(enum=[3, 4], description="What for.")},
        "text": {"type": "string", "default": "x"},
    }
    return {
        "offbus": 1, "name": "drill", "inputs": inputs, **environment, "steps": steps,
        **some(summary="It recovers.", timeout="1h", undo_timeout="2m", expect=["inputs.n > 0"]),
        **some(matrix={"n": [3, 4], **some(fail_fast=True, max_parallel=2)}),
        **some(stop_when=[{"expr": "metrics.requests.success_rate < 0.5", **some(**{"for": "5s"})}]),
    }  # fmt: skip


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places_in(item, (*path, key))


def mutated(document: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    *path, last = rng.choice(list(places_in(changed)))
    parent: Any = changed
    for key in path:
        parent = parent[key]
    match rng.randrange(5):
        case 0:
            del parent[last]
        case 1 if isinstance(parent, dict):
            parent[rng.choice(["x", "uses", "default", "name", "rate", "xid", "expr", "timeout", "for"])] = (
                parent.pop(last)
            )
        case 2 if isinstance(parent, dict):
            parent[rng.choice(["zzz", "id", "with", "needs", "min_length", "type", "node", "keys"])] = (
                rng.choice(POOL)
            )
        case 3 if isinstance(parent, list):
            parent.insert(0, rng.choice(POOL))
        case _:
            parent[last] = rng.choice(POOL)
    return changed


@pytest.fixture(scope="module")
def types() -> Registry:
    given = registry()
    return Registry({key: one for key, one in given._plugins.items() if key[1] != "broken"}, given._loaded)


@pytest.fixture(scope="module")
def validator(types: Registry) -> Any:
    """A pattern's $ is the end of a text, as in ECMAScript, whose dialect JSON Schema's patterns have."""

    def pattern(_: Any, wanted: str, text: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
        import re

        if isinstance(text, str) and not re.search(
            wanted.replace("$", r"\Z") if wanted.endswith("$") else wanted, text
        ):
            yield jsonschema.ValidationError(f"{text!r} does not match {wanted!r}")

    extended = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})
    return extended(scenario_schema(types))


def structural(path: Path, text: str, types: Registry) -> list[Finding]:
    """What the loader's structural part has to say."""
    try:
        load_cells(path, registry=types, data=text.encode())
    except InvalidScenario as err:
        lines = text.split("\n")
        spoken = (
            (one, lines[one.where.line - 1][one.where.column - 1 : one.where.end_column - 1])
            for one in err.findings
        )
        return [one for one, spelt in spoken if one.code in STRUCTURAL and "${{" not in spelt]
    return []


@pytest.mark.parametrize("part", range(PARTS))
def test_they_accept_the_same(part: int, types: Registry, validator: Any, tmp_path: Path) -> None:
    rng = random.Random(part)
    for number in range(CASES // PARTS):
        document = valid(rng)
        if number % 10:
            for _ in range(rng.choice([1, 1, 1, 2])):
                document = mutated(document, rng)
        text = json.dumps(document, indent=1, ensure_ascii=False)
        found = structural(tmp_path / "drill.yaml", text, types)
        error = jsonschema.exceptions.best_match(validator.iter_errors(document))
        said = [f"{one.code} {one.where.line}: {one.message}" for one in found]
        assert (error is None) is (not found), f"schema: {error and error.message}\nloader: {said}\n{text}"
        assert number % 10 or not found
