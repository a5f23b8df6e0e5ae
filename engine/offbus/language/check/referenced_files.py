"""Files that steps will read (`offbus.step.Reads`): checked when the scenario is loaded, with findings at their params.

What a name is with the inputs as they are is an error. What it would be with another value of an input that lists its
values (`enum`) is a warning: a run with that value would be refused.
"""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from offbus.errors import OffbusError, UsageError
from offbus.findings.codes import Code
from offbus.findings.model import Severity
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.parts import LONGEST, Files
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.step import Reads

__all__ = ["FileChecker"]


class FileChecker:
    """Looks at the files of a scenario, at each once."""

    def __init__(self, positions: Positions, conditions: Conditions, files: Files) -> None:
        """`files` are those of the scenario that is run, to whose folder names are relative."""
        self._positions, self._conditions, self._files = positions, conditions, files
        self._seen: dict[tuple[Reads, Path, str], OffbusError | None] = {}

    def check(
        self, node: Node, key: str, mark: Reads, given: Mapping[str, Any], vocabulary: Vocabulary
    ) -> None:
        """Note what is wrong with the file that a param names, and with those that other inputs would name."""
        if node.spoiled:
            return
        others = self._conditions.others(node, vocabulary)
        params = repr(given)
        for said, name in chain((("", given.get(key)),), others):
            self._look(node, mark, name, given, params, said)

    def _look(
        self, node: Node, mark: Reads, name: Any, given: Mapping[str, Any], params: str, said: str
    ) -> None:
        """`params`: what is `given`, as a text; `said`: with which other value of an input, if any."""
        if not isinstance(name, str) or not name:
            return
        if len(name) > LONGEST:
            problem: OffbusError | None = UsageError(
                f"a file's name of {len(name)} characters: {name[:100]}…"
            )
        else:
            path = self._files.folder / name
            problem = self._problem(mark, path, given, params)
            if not said and problem is None:
                self._files.named.add(path)
        if problem is not None:
            message = f"with --set {said[:200]}: {problem.message}" if said else problem.message
            severity = Severity.WARNING if said else Severity.ERROR
            self._positions.note(
                Code.BAD_FILE, message, self._positions.of(node), hint=problem.hint, severity=severity
            )

    def _problem(self, mark: Reads, path: Path, given: Mapping[str, Any], params: str) -> OffbusError | None:
        seen = (mark, path, params)
        if seen not in self._seen:
            try:
                self._files.resolved(path)
                mark.check(path, given)
                self._seen[seen] = None
            except OffbusError as err:
                self._seen[seen] = err
        return self._seen[seen]
