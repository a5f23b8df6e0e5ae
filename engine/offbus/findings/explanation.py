"""What a finding's code means, at length: why it is refused, a wrong and a right scenario, and how to fix it.

The texts are in explanations.yaml, beside the codes whose one source is offbus.findings.codes; a test plays every
example. `offbus explain` shows them, docs/findings.md is made of them, and SARIF has them as the help of its rules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from offbus.findings.codes import Code

__all__ = ["Explanation", "explanations"]

_MARKED = re.compile("⟦(.*?)→(.*?)⟧", re.DOTALL)
_VALIDATE = "offbus validate drill.yaml"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one code. An example is a whole file, drill.yaml, with what is run on it; both are None where a file alone
    does not show it: a package that is broken, a file that is too large."""

    code: Code
    what: str
    """Why it is a finding, in sentences."""
    fix: str
    """How to get rid of it, in sentences."""
    wrong: str | None = None
    right: str | None = None
    wrong_command: str = _VALIDATE
    right_command: str = _VALIDATE

    def to_json(self) -> dict[str, Any]:
        """As `offbus explain CODE --format json` prints it; keys are stable."""
        example = {
            "wrong": {"file": self.wrong, "command": self.wrong_command},
            "right": {"file": self.right, "command": self.right_command},
        }
        return {
            "code": self.code.value,
            "meaning": self.code.meaning,
            "what": self.what,
            "example": None if self.wrong is None else example,
            "fix": self.fix,
        }


@cache
def explanations() -> Mapping[Code, Explanation]:
    """Of every code, in the codes' order."""
    text = Path(__file__).with_name("explanations.yaml").read_text(encoding="utf-8")
    told = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are safe
    return {code: _explanation(code, **told[code.value]) for code in sorted(Code)}


def _explanation(
    code: Code, what: str, fix: str, example: str | None = None, command: str = _VALIDATE
) -> Explanation:
    wrong_command, right_command = _both(command)
    if example is None:
        return Explanation(code, what, fix, None, None, wrong_command, right_command)
    return Explanation(code, what, fix, *_both(example), wrong_command, right_command)


def _both(marked: str) -> tuple[str, str]:
    """A text as it is wrong, and as it is right."""
    return _MARKED.sub(r"\1", marked), _MARKED.sub(r"\2", marked)
