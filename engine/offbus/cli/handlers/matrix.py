"""What `offbus matrix` prints."""

import json
from typing import Any

from offbus.errors import UsageError
from offbus.language.load import Loaded
from offbus.language.matrix import shown
from offbus.printable import printable, printable_json

__all__ = ["cells_as"]


def cells_as(loaded: Loaded, form: str) -> str:
    """The cells as table, json or github. Raises UsageError where the scenario has no matrix."""
    if loaded.matrix is None:
        raise UsageError(
            f"{loaded.scenarios[0].path} has no matrix", hint="give it one: matrix: {INPUT: [VALUE, VALUE]}"
        )
    cells: list[dict[str, Any]] = [
        {
            "cell": one.cell.id,
            "name": one.title,
            "inputs": {name: shown(value) for name, value in one.inputs.items()},
        }
        for one in loaded.scenarios
        if one.cell is not None
    ]
    if form == "table":
        width = max(len(cell["cell"]) for cell in cells)
        rows = []
        for cell in cells:
            inputs = (f"{name}={json.dumps(value)}" for name, value in cell["inputs"].items())
            rows.append(printable(f"{cell['cell']:<{width}}  {' '.join(inputs)}"))
        return "\n".join(rows)
    if form == "github":  # one line: GitHub's files of outputs end a value at the line's end
        return f"matrix={printable_json(json.dumps({'include': cells}, separators=(',', ':')))}"
    how = {"fail_fast": loaded.matrix.fail_fast, "max_parallel": loaded.matrix.max_parallel}
    return printable_json(json.dumps({"scenario": loaded.scenarios[0].name, **how, "cells": cells}, indent=2))
