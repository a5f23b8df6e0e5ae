"""What an earlier play of a matrix has shown: the cells that `--resume` need not play again.

A matrix's folder is hostile input, also one that is this user's alone: it may be an archive that somebody else made, or
have been restored over the folder of a play. What `matrix.json` says of a cell that passed is a claim, which counts
only if both hold, and then all that is told of the cell comes from its run's journal:

- This user's offbus noted on this machine that the cell passed (offbus.run_origin), by the real path of the matrix's
  folder: of which play, with which inputs, in which run, with which journal; and with which options of its environment.
- The folder of that run is this user's alone, and its journal is the one that was noted and folds to a run of this
  scenario and this cell with these inputs that has passed and left nothing behind.

And it passed where it would be played now, for what passed on one cluster has not passed on another: the same options
may mean another one. An environment that each run makes for itself has another identity whenever it is asked.

The cells of a play are noted as it begins. Of a play that is not noted no cell is believed, and its file may hold none
but those that are to be played now.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from offbus.errors import OffbusError, UsageError
from offbus.exits import Exit
from offbus.files import read_bounded
from offbus.journal.reader import read_journal
from offbus.journal.room import LARGEST
from offbus.language.scenario import Scenario
from offbus.matrix.summary import CellReport, MatrixReport, inputs_of
from offbus.open_run import OpenRun, opened
from offbus.report.fold import fold
from offbus.report.model import Report
from offbus.run_origin import note, noted
from offbus.runs import RunFolder

__all__ = ["note_passed", "note_play", "passed_before", "refuse_other"]

UNSHOWN = "no run that was played here, by this user, shows it"
ELSEWHERE = "it passed in another environment, with other options of it, or with other files"


def note_play(folder: OpenRun, report: MatrixReport) -> None:
    """Note which cells a play has, before it begins."""
    note(folder.path, _play(report))


def note_passed(
    folder: OpenRun, report: MatrixReport, cell: CellReport, scenario: Scenario, run: OpenRun
) -> None:
    """Note that a cell has passed, as its run ends. One that cannot be noted is played again."""
    with suppress(OSError):
        note(folder.path, _passed(report, cell, run))
        note(folder.path, _options(cell, scenario))


def passed_before(
    folder: OpenRun,
    report: MatrixReport,
    scenarios: Sequence[Scenario],
    identity_of: Callable[[Scenario], str],
) -> Iterator[tuple[CellReport, Report | str]]:
    """Each cell that is said to have passed, with the report of its run, or why it has to be played again.

    `identity_of` is that of the environment in which a scenario would be played now; it may raise OffbusError.
    """
    by_cell = {one.cell.id: one for one in scenarios if one.cell is not None}
    identities: dict[str, frozenset[str]] = {}
    for cell in report.cells:
        if not cell.passed:
            continue
        shown, scenario = _shown(folder, report, cell), by_cell.get(cell.id)
        if shown is None:
            yield cell, UNSHOWN
            continue
        found, identity = shown
        if scenario is not None:
            options = _options(cell, scenario)
            if (asked := options["options"]) not in identities:
                identities[asked] = frozenset((identity_of(scenario), identity_of(scenario)))
            its_own = len(identities[asked]) > 1
            if not noted(folder.path, options) or not (its_own or identity in identities[asked]):
                yield cell, ELSEWHERE
                continue
        yield cell, found


def refuse_other(folder: OpenRun, report: MatrixReport, scenarios: Sequence[Scenario]) -> None:
    """Raise UsageError unless what is to be played is what the report's play began, with the same inputs."""
    first = scenarios[0]
    if (first.digest, first.env_name) != (report.digest, report.environment):
        raise UsageError(
            "the scenario or its environment is not the one that was played",
            hint="play all of it anew, without --resume",
        )
    known = {cell.id: cell.inputs for cell in report.cells}
    chosen = {one.cell.id: inputs_of(one) for one in scenarios if one.cell is not None}
    for cell, inputs in chosen.items():
        if known.get(cell) != inputs:
            had = " ".join(f"--set {name}={str(value)[:80]}" for name, value in known.get(cell, {}).items())
            raise UsageError(
                f"the cell {cell} has other inputs than when it was played",
                hint=f"it had {had}" if had else "it was not among the cells",
            )
    odd = [cell.id for cell in report.cells if cell.id not in chosen]
    if len(known) < len(report.cells) or (odd and not noted(folder.path, _play(report))):
        what = f"has a cell {odd[0]}" if odd else "has a cell twice"
        raise UsageError(
            f"the report of the play {what}, with which no play here began",
            hint="if it was played on another machine, leave --set and --cell out; or play it anew, without --resume",
        )


def _shown(folder: OpenRun, report: MatrixReport, cell: CellReport) -> tuple[Report, str | None] | None:
    """The report of the run that shows that a cell passed, and the identity of its environment."""
    try:
        with opened(RunFolder(Path(cell.folder or ""))) as run:
            if not noted(folder.path, _passed(report, cell, run)):
                return None
            found, identity = fold(read_journal(run.journal, run.opener).events), run.identity
    except (OffbusError, OSError, ValueError):
        return None
    same = (found.run, found.digest, found.cell, found.inputs) == (
        cell.run, report.digest, cell.id, cell.inputs,
    )  # fmt: skip
    clean = found.complete and found.exit == Exit.PASSED and not found.residue
    return (found, identity) if same and clean and found.verdict == "passed" else None


def _play(report: MatrixReport) -> Mapping[str, Any]:
    cells = [cell.id for cell in report.cells]
    return {"matrix": report.matrix, "digest": report.digest, "cells": cells}


def _passed(report: MatrixReport, cell: CellReport, run: OpenRun) -> Mapping[str, Any]:
    journal = sha256(read_bounded(run.journal, LARGEST, opener=run.opener)).hexdigest()
    return {
        "matrix": report.matrix, "digest": report.digest, "environment": report.environment,
        "cell": cell.id, "inputs": cell.inputs, "run": cell.run, "journal": journal,
    }  # fmt: skip


def _options(cell: CellReport, scenario: Scenario) -> Mapping[str, Any]:
    options = scenario.environment.options.model_dump_json(fallback=repr)
    return {"run": cell.run, "options": options, "files": scenario.files}
