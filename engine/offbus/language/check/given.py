"""The values that inputs are given from outside of the scenario, each with where it stands.

    --set NAME=VALUE   >   --inputs FILE   >   the environment variable OFFBUS_INPUT_NAME   >   the input's default

The first that names an input gives its value, to an axis of a matrix, too: the cells with that value are played. The
values of `--set` and of the environment are texts, which the input's type reads; those of a file (YAML or JSON, a
mapping of names) have types already. The file is read as strictly as a scenario, with findings at its own positions.
They show no line of it: it stands in a log, and what somebody gave as it is may be a secret, beside any other value.

A name that no input has is an error where somebody wrote it for this scenario. An environment variable is often there
for several scenarios, so it is a warning; one that is empty gives nothing, as one that is not set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position, Severity
from offbus.findings.suggest import closest
from offbus.language.format import InputModel
from offbus.language.syntax import source
from offbus.language.syntax.positions import Positions

__all__ = ["PREFIX", "Given", "GivenInputs", "read_given"]

PREFIX = "OFFBUS_INPUT_"
"""Of the environment variable that gives an input its value; the input's name follows in capitals."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value for an input."""

    value: Any
    where: Position
    """Of the value."""
    name_where: Position
    """Of the name."""
    is_text: bool = True
    """Whether the input's type reads it; else it has a type already."""
    frame: str | None = None
    """The line of the scenario that gives it to a file that it inlines."""
    for_this_scenario: bool = True
    """False of an environment variable."""
    by_user: bool = False
    """Whether who runs the scenario says it, and no scenario: only they say where a secret is."""
    waits: bool = False
    """Whether the value is known only while the run goes on, or has a finding."""

    def without_value(self, name: str) -> "Given":
        """To be shown: the position names no value, and no line is repeated."""
        hidden = f"--set {name}=…"
        shown = [
            Position(hidden) if one.file.startswith("--set ") else one
            for one in (self.where, self.name_where)
        ]
        return replace(self, where=shown[0], name_where=shown[1], frame=None)


@dataclass(frozen=True, slots=True)
class GivenInputs:
    """All of them, by name."""

    by_name: Mapping[str, Given] = field(default_factory=dict)
    complete: bool = True
    """False when the file could not be read: nobody knows what it gives."""
    missing: tuple[Positions, Position, str] | None = None
    """Of a file that is inlined, where to say that an input has no value: at the step; and the file's name."""

    def unknown(self, inputs: Mapping[str, InputModel]) -> Iterator[Finding]:
        """A finding for each name that no input has."""
        for name, one in self.by_name.items():
            if name in inputs:
                continue
            near = closest(name, inputs)
            hides = any(model.type == "secret" for model in inputs.values())  # it may be meant for that one
            shown = one.without_value(name) if hides else one
            spelt = near if one.for_this_scenario or near is None else f"{PREFIX}{near.upper()}"
            yield Finding(
                code=Code.UNKNOWN_SETTING,
                message=f"the scenario has no input {name!r}",
                where=shown.name_where,
                hint=f"inputs: {', '.join(inputs)}" if inputs else "the scenario has no inputs",
                suggestion=spelt,
                frame=shown.frame,
                severity=Severity.ERROR if one.for_this_scenario else Severity.WARNING,
            )


def read_given(
    sets: Mapping[str, str], file: Path | None, environ: Mapping[str, str]
) -> tuple[GivenInputs, list[Finding]]:
    """All values that are given, and what is wrong with the file. Raises UsageError if it cannot be read at all."""
    found = dict(_of_environment(environ))
    findings: list[Finding] = []
    if file is not None:
        positions = Positions(source.read(file), [], private=True)
        positions.note_syntax()
        found |= dict(_of_file(positions))
        findings = positions.findings
    for name, text in sets.items():
        where = Position(f"--set {name}={text}")
        found[name] = Given(text, where, where, by_user=True)
    return GivenInputs(found, complete=not findings), findings


def _of_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX)
        if name != variable and text:
            where = Position(f"${variable}")
            yield name.lower(), Given(text, where, where, for_this_scenario=False, by_user=True)


def _of_file(positions: Positions) -> Iterator[tuple[str, Given]]:
    root = positions.source.root
    if root is None or root.kind != "mapping":
        if not positions.findings:
            what = "is empty" if root is None else "is not a mapping"
            where = Position(str(positions.source.path), 1, 1, 1, 2)
            hint = "write NAME: VALUE, a line for each input"
            positions.note(Code.NO_MAPPING, f"the file {what}, so it gives no inputs", where, hint=hint)
        return
    for name, child in root.children.items():
        if child.spoiled:
            continue
        where = positions.of(child)
        yield name, Given(child.value, where, positions.key(root, name), is_text=False, by_user=True)
