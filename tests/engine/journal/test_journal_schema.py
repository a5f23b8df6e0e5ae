"""schemas/journal.json takes the lines that are read, and refuses those that are not."""

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest

from offbus.journal.codec import DamagedLine, checked, decode, encode
from offbus.journal.events import EventKind
from offbus.journal.json_schema import journal_schema
from offbus.journal.kinds import DATA
from tests.kits import REPOSITORY

JOURNALS = REPOSITORY / "tests" / "kits" / "journals" / "0.1.0"
"""Of real runs; their lines are read as lines of the current format."""
POOL: list[Any] = [None, True, 3, "x", "2026-01-31T12:00:00.000000Z", [], ["x"], {}, {"x": 1}]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(journal_schema())


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    files = sorted(JOURNALS.rglob("journal.jsonl"))
    events = [decode(line) for file in files for line in file.read_bytes().splitlines(keepends=True)]
    return [{**json.loads(encode(event))} for event in events]


def is_read(event: Mapping[str, Any]) -> bool:
    try:
        checked({key: value for key, value in event.items() if key != "crc"})
    except DamagedLine:
        return False
    return True


def test_it_has_every_kind() -> None:
    made = journal_schema()
    assert [one["if"]["properties"]["kind"]["const"] for one in made["allOf"]] == list(DATA)
    assert made["properties"]["kind"]["enum"] == list(EventKind)


def test_it_takes_every_line_of_a_run(
    validator: jsonschema.Draft202012Validator, lines: list[dict[str, Any]]
) -> None:
    assert len(lines) > 50
    for line in lines:
        validator.validate(line)


def test_it_refuses_what_is_not_read(
    validator: jsonschema.Draft202012Validator, lines: list[dict[str, Any]]
) -> None:
    rng, refused = random.Random(1), 0
    for _ in range(1500):
        line = copy.deepcopy(rng.choice(lines))
        part: Any = rng.choice([line, line["data"], line["data"]])
        keys = [key for key in part if key not in ("crc", "v")]
        key = rng.choice(keys or ["x"])
        match rng.randrange(3):
            case 0:
                part.pop(key, None)
            case 1:
                part[rng.choice(["x", "step", "at"])] = rng.choice(POOL)
            case _:
                part[key] = rng.choice(POOL)
        refused += not validator.is_valid(line)
        assert is_read(line) or not validator.is_valid(line), json.dumps(line)
    assert refused > 500
