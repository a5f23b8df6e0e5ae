"""The report of a matrix: `matrix.json` in a folder beside those of its runs, one entry a cell.

It is written anew whenever a cell begins or ends, so that `--resume` knows what a killed play had done. Each cell's own
report is in the folder of its run; this one repeats what a table needs. A file that is read back is hostile input: the
folder must be this user's alone (offbus.open_run), of the file only the model's fields are taken, and what it says of
cells that passed is asked of their runs (offbus.matrix.earlier). Each text in it is bounded, so that no table and no
message of it is long; what plays write is cut to that, and the inputs of all cells together are bounded when the
scenario is loaded (offbus.language.check.matrix), so a play's file can be read back.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offbus.errors import CouldNotRun, UsageError
from offbus.exits import Exit, worst
from offbus.files import read_bounded
from offbus.journal.events import RUN
from offbus.json_schemas import TIME, Schema, described, published
from offbus.json_values import has_more_values
from offbus.language.matrix import LARGEST, shown
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun
from offbus.report.model import Report

__all__ = [
    "FILE",
    "CellReport",
    "MatrixReport",
    "inputs_of",
    "matrix_schema",
    "new_report",
    "read_matrix_report",
    "write_matrix_report",
]

FILE = "matrix.json"
LARGEST_FILE = 64 << 20
"""Bytes: 16 KiB a cell."""
MOST_VALUES = 1 << 20
"""Of a file, before it is parsed: 256 a cell."""
LONGEST, MOST_TEXTS, MOST_METRICS, LONGEST_S = 300, 5, 64, 1e9
Text = Annotated[str, Field(max_length=LONGEST)]
Texts = Annotated[list[Text], Field(max_length=MOST_TEXTS)]
FilePath = Annotated[str, Field(max_length=4096)]
"""PATH_MAX of Linux's limits.h."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
RunId = Annotated[str, Field(pattern=f"^{RUN.pattern}$")]
_STRICT = ConfigDict(extra="forbid", defer_build=True)


class CellReport(BaseModel):
    """One cell of a matrix."""

    model_config = _STRICT

    id: Name
    """Its id, stable for its inputs: `size-4`."""
    name: Text = Field(description="The scenario's name with the cell's inputs: `drill[size=4]`.")
    inputs: dict[str, bool | int | float | str] = Field(description="Every input with its value.")
    state: Literal["waiting", "running", "ended", "not_played"]
    """Where it is; not_played: it never began."""
    because: Text | None = Field(None, description="Why it was not played, or could not be.")
    run: RunId | None = Field(None, description="Id of its run.")
    folder: FilePath | None = Field(None, description="Its run's folder, with its own report.")
    verdict: Literal["passed", "failed", "errored", "aborted"] | None = None
    """Its run's verdict."""
    exit: Literal[0, 1, 2, 3, 4, 130] | None = None
    """Its run's exit status."""
    duration_s: Annotated[float, Field(ge=0, le=LONGEST_S)] | None = None
    """Seconds from its run's first event to its last."""
    reasons: Texts = Field([], description="Why it did not pass.")
    needs_attention: Texts = []
    """Why a human must act, whatever the verdict is."""
    residue: int = Field(0, ge=0, lt=1 << 31, description="How many items were left behind.")
    metrics: dict[Annotated[str, Field(max_length=128)], float] = Field(
        {}, max_length=MOST_METRICS, description="The newest value of each metric."
    )

    @property
    def passed(self) -> bool:
        """Whether it was played and passed."""
        return self.state == "ended" and self.exit == Exit.PASSED.value

    def began(self, run: str, folder: str) -> None:
        """Its run has its folder now."""
        self.state, self.run, self.folder, self.because = "running", run, folder, None

    def finished(self, report: Report, exit_code: Exit) -> None:
        """Its run has ended with this report."""
        self.state, self.exit, self.verdict = "ended", exit_code.value, report.verdict
        self.duration_s = min(report.duration_s, LONGEST_S)
        self.reasons, self.needs_attention = _few(report.reasons), _few(report.needs_attention)
        self.residue = len(report.residue)
        finite = [(name[:128], one.value) for name, one in report.metrics.items() if isfinite(one.value)]
        self.metrics = dict(finite[:MOST_METRICS])

    def not_played(self, why: str) -> None:
        """It was not begun, or what is said of it does not count."""
        anew = CellReport(
            id=self.id, name=self.name, inputs=self.inputs, state="not_played", because=_cut(why)
        )
        for field in CellReport.model_fields:
            setattr(self, field, getattr(anew, field))

    def did_not_run(self, exit_code: Exit, why: str) -> None:
        """It has no report."""
        self.state, self.exit, self.because = "ended", exit_code.value, _cut(why)


class MatrixReport(BaseModel):
    """All cells of a play."""

    model_config = _STRICT

    format: Literal[1] = 1
    """Version of this format."""
    matrix: RunId = Field(description="Id of the play.")
    name: Text
    """The scenario's name."""
    scenario: FilePath = Field(description="Path of the file as given.")
    digest: Text = Field(description="SHA-256 of its bytes.")
    environment: Text
    """Type of the environment that the cells act on."""
    started: Text = Field(description="UTC.", json_schema_extra=TIME)
    ended: Text | None = Field(None, json_schema_extra=TIME)
    """UTC; null while it is played, and where it was killed."""
    interrupted: bool = False
    """A signal has ended it."""
    exit: Literal[0, 1, 2, 3, 4, 130] | None = Field(
        None, description="The worst of all cells, once it has ended: 4, 130, 3, 1, 0."
    )
    cells: Annotated[list[CellReport], Field(max_length=LARGEST)]
    """All cells, in the matrix's order."""

    def finish(self, not_played: Iterable[CellReport], why: str | None) -> None:
        """It has ended; these cells were not begun. It has passed only if every cell was played and passed."""
        left_out = list(not_played)
        for cell in left_out:
            cell.state, cell.because = "not_played", why and _cut(why)
        codes = [Exit(cell.exit) for cell in self.cells if cell.exit is not None]
        # a signal while the last cell's end is watched only ends the watch
        code = worst(*codes, Exit.INTERRUPTED if self.interrupted and left_out else Exit.PASSED)
        lacking = code is Exit.PASSED and not all(cell.passed for cell in self.cells)
        self.exit = (Exit.COULD_NOT_RUN if lacking else code).value
        self.ended = _now()

    def begin_again(self) -> None:
        """A further play of it begins: what had begun and has no end was killed, and is recovered by now."""
        self.ended, self.exit, self.interrupted = None, None, False
        for cell in self.cells:
            if cell.state == "running":
                cell.not_played("it was killed")


def new_report(scenarios: Sequence[Scenario], matrix: str) -> MatrixReport:
    """Before any cell has begun."""
    first = scenarios[0]
    return MatrixReport(
        matrix=matrix,
        name=first.name,
        scenario=str(first.path),
        digest=first.digest,
        environment=first.env_name,
        started=_now(),
        cells=[
            CellReport(id=one.cell.id, name=one.title, inputs=inputs_of(one), state="waiting")
            for one in scenarios
            if one.cell is not None
        ],
    )


def inputs_of(scenario: Scenario) -> dict[str, Any]:
    """Every input of a cell, as its report has it."""
    return {name: shown(value) for name, value in scenario.inputs.items()}


def _few(texts: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    few = (
        texts
        if len(texts) <= MOST_TEXTS
        else [*texts[: MOST_TEXTS - 1], f"{len(texts) - MOST_TEXTS + 1} more"]
    )
    return list(map(_cut, few))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _now() -> str:
    """UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_matrix_report(report: MatrixReport, folder: OpenRun) -> None:
    """Replace it, atomically. Raises CouldNotRun."""
    path = folder.path / FILE
    try:
        folder.replace(path, report.model_dump_json(indent=2) + "\n")
    except OSError as err:
        raise CouldNotRun(f"the matrix's report {path} cannot be written: {err.strerror}") from err


def read_matrix_report(folder: OpenRun) -> MatrixReport:
    """The report in an open folder. Raises UsageError."""
    path = folder.path / FILE
    try:
        text = read_bounded(path, LARGEST_FILE, whole=True, opener=folder.opener)
        if len(text) > LARGEST_FILE:
            raise UsageError(f"{path} is larger than {LARGEST_FILE >> 20} MiB, which no matrix's report is")
        if has_more_values(text, MOST_VALUES):
            raise UsageError(
                f"{path} is no report of a matrix", hint=f"it has more than {MOST_VALUES} values"
            )
        return MatrixReport.model_validate_json(text)
    except OSError as err:
        hint = "name the folder of a matrix: `offbus run` prints it at its end"
        raise UsageError(f"{path} cannot be read: {err.strerror}", hint=hint) from err
    except (ValidationError, RecursionError) as err:
        raise UsageError(f"{path} is no report of a matrix", hint="it was damaged or changed") from err


def matrix_schema() -> Schema:
    """The JSON Schema of matrix.json."""
    return published("matrix", 1, described(MatrixReport.model_json_schema(), (MatrixReport, CellReport)))
