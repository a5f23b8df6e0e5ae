"""A run's steps, file by file: the scenario's own, and those of the files that it inlines (`uses: scenario`).

    {id: drill, uses: scenario, with: {file: parts/break.yaml, inputs: {size: 4}}}

The file is a scenario with the same keys, but for those that a run has once (`OF_A_RUN`): its environment, guards and
time belong to the file that is run, and what a file that is inlined says of them could only be ignored, which a guard
must never be; so it is refused. Its steps have the ids `drill.NAME`, its names are its own: it sees its inputs and its
steps, and is seen by what it lists under `outputs`. Its `expect` is judged at the end of the run.

A scenario is hostile input: files lie where a scenario may name them (`offbus.named_files`), none inlines itself, and
depth, number, size and steps are bounded. Each file is read once. No line is shown of one that does not begin as a
scenario does: credentials may lie beside it, and findings stand in the logs of whoever checks a stranger's proposal.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from offbus.errors import UsageError
from offbus.files import read_bounded
from offbus.findings.codes import Code
from offbus.findings.model import Finding
from offbus.language import shape
from offbus.language.check import matrix_size
from offbus.language.check.header import claims_ours, is_our_format, read_header
from offbus.language.check.pydantic_errors import Subject, note_errors
from offbus.language.check.steps import RawStep, Types, read_steps
from offbus.language.format import HeaderModel
from offbus.language.syntax import braces, source
from offbus.language.syntax.node import Node, weight
from offbus.language.syntax.positions import Positions
from offbus.named_files import NamedFiles
from offbus.scenario_step import ScenarioParams

__all__ = ["DEEPEST", "LONGEST", "MOST_FILES", "Files", "Part", "read_parts"]

OF_A_RUN = ("matrix", "environment", "guards", "timeout", "undo_timeout", "stop_when")
"""Keys of a scenario that say what a run has once."""
DEEPEST = 8
"""Files that inline one another."""
MOST_FILES = 256
"""Steps of a scenario that inline a file, in all of its files."""
MOST_INLINED = 10_000
"""Steps of all files that a scenario inlines, each as often as it is inlined."""
MOST_STEPS = 100_000
"""Steps that are read of inlined files, for all cells of a matrix together."""
MOST_VALUES = matrix_size.MOST_VALUES
"""Values (offbus.language.syntax.node.weight) of all files together, the scenario's own among them, in all cells."""
LONGEST = 4096
"""Characters of a file's name: PATH_MAX of Linux's limits.h, which no system call exceeds."""
LARGEST = source.LARGEST
"""Bytes of all files that a scenario inlines, each counted once."""


@dataclass(slots=True)
class Part:
    """One file's steps, where they are in the run."""

    prefix: str
    """Before the ids of its steps: "" or "drill."."""
    root: Node
    positions: Positions
    header: HeaderModel
    steps: Mapping[str, RawStep]
    """By their ids in the file, in its order."""
    inlined: Mapping[str, "Part"] = field(default_factory=dict)
    """By the ids of the steps that inline them."""

    def keys(self, name: str) -> tuple[str, ...]:
        """The ids in the run of what a step of this file is: its own, or those of all steps of the file it inlines."""
        if name not in self.inlined:
            return (self.steps[name].key,)
        inner = self.inlined[name]
        return tuple(key for one in inner.steps for key in inner.keys(one))

    def local(self, key: str) -> str | None:
        """Which step of this file a step of the run is, or belongs to; None if it is not below this file."""
        name = key.removeprefix(self.prefix).partition(".")[0]
        return name if key.startswith(self.prefix) and name in self.steps else None

    def all(self) -> Iterator["Part"]:
        """It and all files below."""
        yield self
        for inner in self.inlined.values():
            yield from inner.all()


class Files:
    """The files that a scenario inlines, each read once, for all cells of its matrix."""

    def __init__(self, outermost: Path) -> None:
        self.folder = outermost.parent
        self._allowed = NamedFiles(outermost.parent)
        self._first = outermost.resolve()
        self._read: dict[Path, source.Source] = {}
        self.steps = self.values = 0
        self.named: set[Path] = set()
        """Files that steps of the cell at hand read, where their names are known before the run."""
        self._contents: dict[Path, str] = {}

    @property
    def size(self) -> int:
        """Characters of all that were read."""
        return sum(len(one.text) for one in self._read.values())

    def digest(self, own: str) -> str:
        """Of a scenario and everything that it inlines; `own` is that of its file."""
        if not self._read:
            return own
        found = sorted(one.digest for one in self._read.values())
        return hashlib.sha256(" ".join([own, *found]).encode()).hexdigest()

    def read_by_steps(self) -> str:
        """A digest of what the files hold that steps of the cell at hand read, each read once for all cells."""
        for path in self.named - self._contents.keys():
            with suppress(OSError):  # then its param has a finding, or its step an error
                self._contents[path] = hashlib.sha256(read_bounded(path, LARGEST)).hexdigest()
        found = sorted((str(path), self._contents.get(path, "")) for path in self.named)
        return hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()

    def resolved(self, path: Path) -> Path:
        """Where a file really is. Raises UsageError where a scenario may not name it."""
        return self._allowed.real(path)

    def chain(self) -> tuple[Path, ...]:
        """What no file may inline that the scenario itself inlines."""
        return (self._first,)

    def source(self, path: Path, real: Path) -> source.Source:
        """The file, under the name by which it was first read. Raises UsageError."""
        if real not in self._read:
            self._read[real] = source.read(path)
        return self._read[real]


def read_parts(root: Node, positions: Positions, header: HeaderModel, types: Types, files: Files) -> Part:
    """The scenario with all that it inlines; what is wrong is noted at its position in its file."""
    files.values += weight(root)
    return _Reader(types, files, positions).part("", root, positions, header, files.chain())


class _Reader:
    def __init__(self, types: Types, files: Files, positions: Positions) -> None:
        self._types, self._files = types, files
        self._count = self._steps = 0
        self._full = False
        self._findings, self._warnings = positions.findings, positions.warnings
        self._noted: dict[Path, set[Finding]] = {}
        """By file, what was noted of it."""

    def part(
        self, prefix: str, root: Node, positions: Positions, header: HeaderModel, chain: tuple[Path, ...]
    ) -> Part:
        steps = read_steps(root.children.get("steps"), positions, self._types, prefix)
        inlined = {}
        for name, step in steps.items():
            if step.type is not None and issubclass(step.type.params, ScenarioParams):
                inner = self._inlined(step, chain)
                if inner is not None:
                    inlined[name] = inner
                else:
                    step.type = None  # it has a finding, and nobody knows what it would be
        return Part(prefix, root, positions, header, steps, inlined)

    def _inlined(self, step: RawStep, chain: tuple[Path, ...]) -> Part | None:
        """The file that a step inlines; None, with a finding, if that cannot be."""
        positions, at = step.positions, step.node.children.get("with")
        _refuse_options(step)
        if at is None or at.kind != "mapping":
            positions.note(
                Code.MISSING_KEY,
                "the step names no file",
                positions.value(step.node, "uses"),
                hint="write with: {file: …, inputs: {…}}",
            )
            return None
        try:
            params = shape.apply(ScenarioParams, at.value)
        except ValidationError as err:
            where = positions.value(step.node, "uses")
            note_errors(
                shape.errors_of(err), at, positions, Subject("step type scenario", ScenarioParams, where)
            )
            return None
        node = at.children["file"]
        try:
            return self._read(step, params.file, chain)
        except UsageError as err:
            positions.note(Code.BAD_FILE, err.message, positions.of(node), hint=err.hint)
            return None

    def _read(self, step: RawStep, name: str, chain: tuple[Path, ...]) -> Part | None:
        """Raises UsageError where the file may not be inlined here, or cannot be read."""
        if braces.OPEN in name:
            raise UsageError("a file that is inlined is named without ${{ }}", hint="write its name")
        if len(name) > LONGEST:
            raise UsageError(f"a file's name of {len(name)} characters: {name[:100]}…")
        path = step.positions.source.path.parent / name
        real = self._files.resolved(path)
        self._refuse(real, chain)
        read = self._files.source(path, real)
        if self._files.size > LARGEST:
            raise UsageError(f"the files that are inlined have more than {LARGEST >> 20} MiB together")
        root = read.root
        first = real not in self._noted
        noted = self._noted.setdefault(real, set())
        private = not claims_ours(read.text)
        positions = Positions(read, self._findings, self._warnings, private=private, noted=noted)
        if first:
            positions.note_syntax()
        if root is None or root.kind != "mapping":
            if read.findings:
                return None
            raise UsageError(f"{path} is not a mapping, so it is not a scenario")
        if not is_our_format(root, positions):
            return None
        header = read_header(root, positions)
        for key in OF_A_RUN:
            if key in root.children:
                message = f"{key} is of the whole run, so a file that is inlined cannot say it"
                hint = "say it in the scenario that is run"
                positions.note(Code.OF_A_RUN, message, positions.key(root, key), hint=hint)
        self._steps += len(header.steps)
        self._files.steps += len(header.steps)
        self._files.values += weight(root)
        if self._steps > MOST_INLINED or self._files.steps > MOST_STEPS:
            self._full = True
            raise UsageError(
                f"more than {MOST_INLINED} steps of files are inlined, or {MOST_STEPS} in all cells together"
            )
        if self._files.values > MOST_VALUES:
            self._full = True
            raise UsageError(
                f"the scenario and what it inlines have more than {MOST_VALUES} values in all cells together"
            )
        return self.part(f"{step.key}.", root, positions, header, (*chain, real))

    def _refuse(self, real: Path, chain: tuple[Path, ...]) -> None:
        """Raises UsageError for a file that inlines itself, and where too many are inlined."""
        if real in chain:
            shown = " → ".join(one.name for one in (*chain[chain.index(real) :], real))
            raise UsageError(f"the file inlines itself: {shown}", hint="a scenario has an end")
        if len(chain) > DEEPEST:
            raise UsageError(f"files that inline one another are more than {DEEPEST} deep")
        if self._full:
            raise UsageError("too many steps of files are inlined already")
        self._count += 1
        if self._count > MOST_FILES:
            raise UsageError(f"more than {MOST_FILES} steps inline a file")


_OPTIONS = ("background", "always", "keep_going", "timeout", "retry", "expect")


def _refuse_options(step: RawStep) -> None:
    """Options that only a step can have that runs itself."""
    for key in _OPTIONS:
        if key in step.node.children:
            step.positions.note(
                Code.EXCLUSIVE_OPTIONS,
                f"a step that inlines a file runs nothing itself, so it has no `{key}`",
                step.positions.key(step.node, key),
                hint="say it of the file's steps" if key != "expect" else "use the file's own `expect`",
            )
