"""What `offbus run` does with one scenario: refuse leftovers, run it, report. For a matrix: handlers/run_matrix.py."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio

from offbus.cli.output import say
from offbus.cli.views import View, make_view
from offbus.cli.views.screen import Stream
from offbus.errors import CouldNotRun, OffbusError
from offbus.exits import Exit, worst
from offbus.language.load import load_cells
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun, create_run
from offbus.report.model import Report
from offbus.runner.clock import SystemClock
from offbus.runner.run_end import write_report
from offbus.runner.session import Session
from offbus.runner.signals import stop_on_signals
from offbus.runs import default_runs, environment_lock, unfinished_runs

__all__ = ["PARTING", "held_run", "identity_of", "play_session", "run_file", "view_of", "written"]

PARTING = "offbus: exited before everything was undone; finish with: offbus recover {}"


def run_file(
    file: Path,
    *,
    sets: Mapping[str, str],
    env: str | None,
    env_sets: Mapping[str, str],
    runs: Path | None,
    view: str,
    settle: bool = True,
    cell: str | None = None,
    resume: Path | None = None,
) -> int:
    """Run a scenario file, all cells of its matrix; the exit code. Raises OffbusError before anything was changed."""
    loaded = load_cells(file, sets=sets, env=env, env_sets=env_sets, cell=cell)
    base = (runs or default_runs()).resolve()
    for scenario in loaded.scenarios:
        scenario.load_runs()
    if resume is not None or (loaded.matrix is not None and cell is None):
        from offbus.cli.handlers.run_matrix import run_cells

        return run_cells(loaded, base, view, settle=settle, resume=resume)
    [scenario] = loaded.scenarios
    identity = identity_of(scenario)
    with held_run(base, scenario, identity) as folder:
        gc.freeze()  # the scenario stays until the end
        with view_of(view, scenario) as shown:
            report = anyio.run(partial(_session, scenario, folder, identity, shown, settle=settle))
            code = written(report, folder)
            shown.finish(report, folder.report)
        return code


def identity_of(scenario: Scenario) -> str:
    """Of the environment that it acts on. Not to be called inside an event loop. Raises OffbusError."""
    return scenario.environment.type.opener.identity(scenario.environment.options)


@contextmanager
def held_run(base: Path, scenario: Scenario, identity: str) -> Iterator[OpenRun]:
    """A new run's folder, with the locks of the run and of its environment. Raises CouldNotRun, also for leftovers."""
    with environment_lock(base, identity):
        _refuse_leftovers(base, identity)
        with create_run(base, scenario.slug, identity) as folder, folder.lock():
            yield folder


def view_of(kind: str, scenario: Scenario, stream: Stream | None = None) -> View:
    """The view of a run of it, on standard output unless a stream is given."""
    plan = [(step.id, step.uses) for step in scenario.steps]
    return make_view(kind, scenario.title, plan, stream=stream)


def written(report: Report, folder: OpenRun) -> Exit:
    """Write a run's report; its exit code, with that of a report that cannot be written."""
    try:
        write_report(report, folder)
    except CouldNotRun as err:
        from offbus.cli.problems import print_error

        return worst(Exit(report.exit), Exit(print_error(err)))
    return Exit(report.exit)


async def play_session(
    scenario: Scenario,
    folder: OpenRun,
    identity: str,
    view: View,
    *,
    settle: bool,
    begun: Callable[[Session], None],
) -> Report:
    """Play it; `begun` gets the session first, to stop it. Raises OffbusError."""
    session = Session(
        scenario,
        folder,
        SystemClock(),
        identity=identity,
        listeners=[view.event],
        progress=view.progress,
        settle=settle,
    )
    begun(session)
    async with anyio.create_task_group() as beside:
        beside.start_soon(_tick, view)
        ended: Report | OffbusError  # an error is raised below, outside of this task group
        try:
            ended = await session.run()
        except OffbusError as err:
            ended = err
        beside.cancel_scope.cancel()
    if isinstance(ended, OffbusError):
        raise ended
    return ended


async def _session(scenario: Scenario, folder: OpenRun, identity: str, view: View, *, settle: bool) -> Report:
    sessions: list[Session] = []
    loop = asyncio.get_running_loop()

    def stop(signal: str) -> None:
        for session in sessions:
            session.stop(signal)

    with stop_on_signals(loop.call_soon_threadsafe, stop, lambda: PARTING.format(folder.path)):
        return await play_session(scenario, folder, identity, view, settle=settle, begun=sessions.append)


async def _tick(view: View) -> None:
    while True:
        await anyio.sleep(1)
        view.tick()


def _refuse_leftovers(base: Path, identity: str) -> None:
    """Refuse while this environment has an unfinished run; name the unfinished runs of others."""
    others = []
    for folder in unfinished_runs(base):
        if folder.identity == identity:
            raise CouldNotRun(
                f"run {folder.id} did not finish on {identity} and may have left things behind",
                hint=f"finish it first: offbus recover {folder.path}",
            )
        others.append(folder.id)
    if others:
        what = f"run {others[0]}" if len(others) == 1 else f"{len(others)} runs ({', '.join(others[-5:])})"
        say(f"offbus: {what} in other environments did not finish; finish with: offbus recover", err=True)
