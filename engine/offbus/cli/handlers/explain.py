"""The codes of findings, as text for a terminal or as JSON."""

import json
from collections.abc import Iterator
from textwrap import indent, wrap

from offbus.errors import UsageError
from offbus.findings.codes import Code
from offbus.findings.explanation import Explanation, explanations
from offbus.findings.suggest import did_you_mean
from offbus.printable import printable, printable_json

__all__ = ["explain_code", "list_codes"]

_WIDTH = 100


def list_codes(form: str) -> str:
    """All codes with their meanings."""
    if form == "json":
        return json.dumps([{"code": code.value, "meaning": code.meaning} for code in sorted(Code)], indent=2)
    return "\n".join(f"{code.value}  {code.meaning}" for code in sorted(Code))


def explain_code(name: str, form: str) -> str:
    """One code, in any case of its letters. Raises UsageError if there is none of that name."""
    codes = {code.value: code for code in Code}
    code = codes.get(name.upper())
    if code is None:
        near = did_you_mean(name.upper(), codes, "`offbus explain` lists them")
        raise UsageError(f"there is no finding {name!r}", hint=near)
    explanation = explanations()[code]
    if form == "json":
        return printable_json(json.dumps(explanation.to_json(), indent=2))
    return "\n".join(_lines(explanation))


def _lines(told: Explanation) -> Iterator[str]:
    yield f"{told.code.value}: {told.code.meaning}"
    yield ""
    yield from wrap(told.what, _WIDTH)
    if told.wrong is not None and told.right is not None:
        has_command = told.wrong_command != told.right_command
        examples = (("Wrong", told.wrong, told.wrong_command), ("Right", told.right, told.right_command))
        for title, text, command in examples:
            yield f"\n{title}:\n"
            if title == "Wrong" or not has_command:
                yield indent("\n".join(map(printable, text.rstrip("\n").split("\n"))), "  ")
            if has_command:
                yield f"\n  $ {command}" if title == "Wrong" else f"  $ {command}"
    yield "\nHow to fix it:\n"
    yield from wrap(told.fix, _WIDTH, initial_indent="  ", subsequent_indent="  ")
