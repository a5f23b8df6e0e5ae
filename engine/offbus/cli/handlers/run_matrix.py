"""What `offbus run` does with a matrix: each cell is a run with a folder and a report of its own; one report of all.

    make the matrix's folder (or open it: --resume) and lock it -> recover what an earlier play left -> cells
    -> matrix.json, table

Each cell is a run like any other: it takes the lock of its environment, which others may use between two cells. A
signal stops the cells that run, which undo everything, and begins none. What keeps a cell from running (a leftover
run, a guard) is that cell's exit code, not the end of the matrix.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from offbus.cli.handlers.play import PARTING, held_run, identity_of, play_session, shown_end, view_of
from offbus.cli.handlers.recover import recover_folder
from offbus.cli.output import say
from offbus.cli.problems import exit_code, print_error
from offbus.cli.views.prefixed import Prefixed
from offbus.cli.views.screen import Screen
from offbus.colour import wants_colour
from offbus.errors import OffbusError, UsageError
from offbus.exits import Exit, worst
from offbus.journal.lock import FileLock
from offbus.language.load import Loaded
from offbus.language.scenario import Scenario
from offbus.matrix.earlier import note_passed, note_play, passed_before, refuse_other
from offbus.matrix.play import Play
from offbus.matrix.render_text import matrix_lines
from offbus.matrix.summary import (
    FILE,
    CellReport,
    MatrixReport,
    new_report,
    read_matrix_report,
    write_matrix_report,
)
from offbus.open_run import OpenRun, create_folder, opened
from offbus.report.spans import coloured, plain
from offbus.runner.session import Session
from offbus.runner.signals import stop_on_signals
from offbus.runs import RunFolder, runs_in

__all__ = ["run_cells"]


def run_cells(loaded: Loaded, base: Path, view: str, *, settle: bool, resume: Path | None) -> Exit:
    """Play the cells; with `resume`, those of that folder that did not pass. Raises OffbusError before any begins."""
    if loaded.matrix is None:
        raise UsageError("--resume plays the rest of a matrix, and the scenario has none")
    with _folder(base, loaded, resume) as folder:
        report = new_report(loaded.scenarios, folder.id)
        if resume is not None:
            report = read_matrix_report(folder)
            refuse_other(folder, report, loaded.scenarios)
            if code := _recover_leftovers(base, report, settle=settle):
                return code
            report.begin_again()
            _look_back(folder, report, loaded)
        note_play(folder, report)
        playing = _Playing(loaded, report, folder, base, view, settle=settle)
        anyio.run(playing.play)
        saved = playing.save()
        lines = matrix_lines(report, folder.path / FILE)
        screen = Screen(sys.stdout)
        screen.write((coloured if wants_colour(screen, os.environ) else plain)(lines))
        return worst(Exit(report.exit or 0), saved)


@contextmanager
def _folder(base: Path, loaded: Loaded, resume: Path | None) -> Iterator[OpenRun]:
    """The folder, for one play at a time: each would write its own report of all. Raises HeldElsewhere."""
    if resume is None:
        made = create_folder(base, f"{loaded.scenarios[0].name}-matrix")
    else:
        made = opened(RunFolder(resume), files=[FILE])
    with made as folder, FileLock(folder.lock_file, f"the play {folder.path}", opener=folder.opener):
        yield folder


def _recover_leftovers(base: Path, report: MatrixReport, *, settle: bool) -> Exit:
    """Finish the runs that an earlier play left: a cell is not played over what it left."""
    ids = {cell.run for cell in report.cells if cell.run is not None and not cell.passed}
    unfinished = [one for one in runs_in(base) if one.id in ids and one.unfinished.exists()]
    signals: list[str] = []
    recover = partial(recover_folder, base, settle=settle, signalled=signals.append)
    codes = [exit_code(partial(recover, one)) for one in unfinished]
    if signals:
        say(f"offbus: interrupted by {signals[0]}: no cell was played", err=True)
        codes.append(Exit.INTERRUPTED)
    return worst(*codes)


def _look_back(folder: OpenRun, report: MatrixReport, loaded: Loaded) -> None:
    """Keep what an earlier play has shown; say which cells passed, as the report has it, and count as not played."""
    unshown: dict[str, list[str]] = {}
    for cell, found in passed_before(folder, report, loaded.scenarios, identity_of):
        if isinstance(found, str):
            cell.not_played(found)
            unshown.setdefault(found, []).append(cell.id)
        else:
            cell.finished(found, Exit.PASSED)
    for why, cells in unshown.items():
        what = "1 cell that passed is" if len(cells) == 1 else f"{len(cells)} cells that passed are"
        more = f" and {len(cells) - NAMED} more" if len(cells) > NAMED else ""
        say(f"offbus: {what} played again: {', '.join(cells[:NAMED])}{more}: {why}", err=True)


NAMED = 5
"""Cells that are told one by one."""


class _Playing:
    """One play: its report is written whenever a cell begins or ends."""

    def __init__(
        self, loaded: Loaded, report: MatrixReport, folder: OpenRun, base: Path, view: str, *, settle: bool
    ) -> None:
        if loaded.matrix is None:
            raise AssertionError("checked by the caller")
        self._report = report
        self._folder = folder
        self._base = base
        self._view = view
        self._settle = settle
        self._beside = loaded.matrix.max_parallel > 1
        scenarios = {one.cell.id: one for one in loaded.scenarios if one.cell is not None}
        self._todo = [
            (cell, scenarios[cell.id]) for cell in report.cells if not cell.passed and cell.id in scenarios
        ]
        # those of one environment are played in turn; one after another, each is asked when its turn comes
        todo = enumerate(self._todo) if self._beside else ()
        self._identities = {number: identity_of(scenario) for number, (_, scenario) in todo}
        shared: list[Hashable] = [self._identities.get(number) for number in range(len(self._todo))]
        self._play = Play(shared, fail_fast=loaded.matrix.fail_fast, max_parallel=loaded.matrix.max_parallel)
        self._running: dict[Session, OpenRun] = {}

    async def play(self) -> None:
        """Play them all."""
        gc.freeze()  # the scenarios stay until the end
        self.save()
        loop = asyncio.get_running_loop()
        with stop_on_signals(loop.call_soon_threadsafe, self._stop, self._parting):
            await self._play.play(self._cell)
        not_played = [self._todo[number][0] for number in self._play.not_played]
        self._report.finish(not_played, self._play.stopped)

    def save(self) -> Exit:
        """Write the report; a failure is printed, and its exit code returned."""
        return exit_code(partial(write_matrix_report, self._report, self._folder))

    def _stop(self, signal: str) -> None:
        self._play.stop(f"interrupted by {signal}")
        self._report.interrupted = True
        if not self._running:
            say(f"offbus: {signal}: no further cell is begun", err=True)
        for session in self._running:
            session.stop(signal)

    def _parting(self) -> str:
        return "\n".join(PARTING.format(folder.path) for folder in self._running.values()) or "offbus: exited"

    async def _cell(self, number: int) -> Exit:
        cell, scenario = self._todo[number]
        if self._view != "quiet":
            say("")
            say(f"cell {self._report.cells.index(cell) + 1} of {len(self._report.cells)}: {cell.name}")
        try:
            code = await self._run(cell, scenario, self._identities.get(number))
        except Exception as err:  # noqa: BLE001  a cell that cannot be played does not end the others
            code = Exit(print_error(err))
            cell.did_not_run(code, err.message if isinstance(err, OffbusError) else type(err).__name__)
        self.save()
        return code

    async def _run(self, cell: CellReport, scenario: Scenario, identity: str | None) -> Exit:
        if identity is None:  # an environment may run an event loop of its own to tell it
            identity = await to_thread.run_sync(identity_of, scenario)
            if self._play.stopped:  # meanwhile: it has no session yet that would have been stopped
                cell.did_not_run(Exit.INTERRUPTED, f"{self._play.stopped} before it began")
                return Exit.INTERRUPTED
        stream = Prefixed(f"{cell.id}  ", sys.stdout) if self._beside else None
        with held_run(self._base, scenario, identity) as folder:
            cell.began(folder.id, str(folder.path))
            self.save()
            sessions: list[Session] = []

            def begun(session: Session) -> None:
                sessions.append(session)
                self._running[session] = folder

            try:
                with view_of(self._view, scenario, stream) as view:
                    report = await play_session(
                        scenario, folder, identity, view, settle=self._settle, begun=begun
                    )
                    code = shown_end(report, folder, view)
            finally:
                for session in sessions:
                    del self._running[session]
            cell.finished(report, code)
            if cell.passed:
                note_passed(self._folder, self._report, cell, scenario, folder)
        return code
