"""The JSON Schema of one line of a journal, from the schemas that lines are read by (offbus.journal.kinds).

It says of a line what a writer makes it: what it accepts `offbus.journal.codec` reads, checksum and size apart. That
one also reads keys beside the known ones, and "3" for 3.
"""

from typing import Any

from pydantic import TypeAdapter

from offbus.journal import schemas, start_schemas
from offbus.journal.events import OF_STEPS, RUN, VERSION, EventKind
from offbus.journal.kinds import DATA
from offbus.json_schemas import TIME, Schema, described, published

__all__ = ["journal_schema"]

_NANOSECONDS = 2**63 - 1


def journal_schema() -> Schema:
    """The schema of a line."""
    asked: list[tuple[Any, Any, TypeAdapter[Any]]] = [
        (kind.value, "validation", TypeAdapter(of)) for kind, of in DATA.items()
    ]
    references, document = TypeAdapter.json_schemas(asked)
    definitions: Schema = document.get("$defs", {})
    models = [
        one for module in (schemas, start_schemas) for one in vars(module).values() if isinstance(one, type)
    ]
    described({"$defs": definitions}, models)
    for definition in definitions.values():
        if definition.get("type") == "object":
            definition["additionalProperties"] = False
    return published(
        "journal", VERSION, _line({kind: references[kind, "validation"] for kind, *_ in asked}, definitions)
    )


def _line(data: Schema, definitions: Schema) -> Schema:
    kinds = [
        {
            "if": {"properties": {"kind": {"const": kind}}},
            "then": {"properties": {"data": of}, "required": ["step"] if kind in OF_STEPS else []},
        }
        for kind, of in data.items()
    ]
    return {
        "title": "A line of an offbus journal",
        "description": "One event of a run: journal.jsonl in its folder has one a line.",
        "type": "object",
        "properties": {
            "v": {"const": VERSION, "description": "Version of this format."},
            "seq": {
                "type": "integer",
                "description": "1, 2, 3 … without a gap.",
                "minimum": -_NANOSECONDS,
                "maximum": _NANOSECONDS,
            },
            "run": {"type": "string", "description": "Id of the run.", "pattern": f"^(?:{RUN.pattern})$"},
            "t": {
                "type": "string",
                "description": "UTC, microseconds.",
                "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
                "examples": ["2026-01-31T12:00:00.000000Z"],
                **TIME,
            },
            "mono_ns": {
                "type": "integer",
                "description": "The runner's monotonic clock, nanoseconds.",
                "minimum": -_NANOSECONDS,
                "maximum": _NANOSECONDS,
            },
            "clock": {"type": "string", "description": "Whose clock that is: the boot id."},
            "kind": {"enum": [kind.value for kind in EventKind], "description": "What kind of event it is."},
            "step": {"type": "string", "description": "The step that it belongs to."},
            "data": {"type": "object", "description": "In the shape of its kind."},
            "crc": {
                "type": "string",
                "description": 'CRC-32 of the line up to `,"crc"`.',
                "pattern": "^[0-9a-f]{8}$",
            },
        },
        "required": ["v", "seq", "run", "t", "mono_ns", "clock", "kind", "data", "crc"],
        "allOf": kinds,
        "$defs": definitions,
    }
