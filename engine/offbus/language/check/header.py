"""The beginning of a file: its format version, and the shape of everything but its steps."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from offbus.findings.codes import Code
from offbus.language import shape
from offbus.language.check.pydantic_errors import Subject, note_errors
from offbus.language.format import FORMAT, HeaderModel
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions

__all__ = ["claims_ours", "is_our_format", "read_header"]


_CLAIM = re.compile(r"""(?m)^[{\s]*["']?offbus["']?\s*:\s*["']?[0-9]""")


def claims_ours(text: str) -> bool:
    """Whether a file, which may be no YAML, says that it is a scenario, of our format or another one."""
    return _CLAIM.search(text) is not None


def is_our_format(root: Node, positions: Positions) -> bool:
    """Whether this is a scenario of our format; if not, that is noted. Asked first: another one cannot be checked. Its
    number as a text is a finding, and no other format."""
    found = root.children.get("offbus")
    if found is not None and found.value == FORMAT and not isinstance(found.value, bool):
        return True
    if found is None:
        hint = f"begin the file with offbus: {FORMAT}"
        positions.note(
            Code.FORMAT_VERSION,
            "the format version is missing, so this is not a scenario",
            positions.start_of(root),
            hint=hint,
        )
    elif not found.spoiled:
        hint = f"this version of offbus reads offbus: {FORMAT}"
        named = "" if positions.private else f" {found.value!r}"  # then it may be anything
        positions.note(
            Code.FORMAT_VERSION,
            f"the format version{named} is unknown",
            positions.of(found),
            hint=hint,
            fix=positions.rewritten(found, str(FORMAT)) if found.value == str(FORMAT) else None,
        )
    return found is not None and found.value == str(FORMAT)


_FALLBACK: Mapping[str, Any] = {"offbus": FORMAT, "name": "unnamed", "steps": [None]}
"""Replaces a broken part of the header, so that the rest can be checked."""


def read_header(root: Node, positions: Positions) -> HeaderModel:
    """Everything but the steps' contents. What is wrong is noted, and is as if it were left out."""
    try:
        header = HeaderModel.model_validate(root.value)
    except ValidationError as err:
        errors = shape.errors_of(err)
        subject = Subject("the scenario", HeaderModel, positions.start_of(root))
        note_errors(errors, root, positions, subject, lambda error: error["loc"] == ("offbus",))
        bad = {str(error["loc"][0]) for error in errors if error["loc"]}
        good = {key: value for key, value in root.value.items() if key not in bad}
        for part in bad & {"inputs", "matrix"}:
            given = root.value.get(part)
            wrong = {error["loc"][1] for error in errors if error["loc"][:1] == (part,) and error["loc"][1:]}
            named = given.items() if isinstance(given, dict) else ()
            good[part] = {name: item for name, item in named if name not in wrong}
        header = HeaderModel.model_validate({**_FALLBACK, **good})
    for key, value in (("timeout", header.timeout), ("undo_timeout", header.undo_timeout)):
        if not value:
            positions.note(Code.NOT_ALLOWED, f"{key}: it must be longer than 0", positions.value(root, key))
    return header
