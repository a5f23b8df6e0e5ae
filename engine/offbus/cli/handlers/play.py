"""One run as `offbus run` plays it, alone or as a cell of a matrix: its locks, its folder, its session and its view."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from offbus.cli.output import say
from offbus.cli.views import View, make_view
from offbus.cli.views.screen import Stream
from offbus.errors import CouldNotRun, OffbusError
from offbus.exits import Exit, worst
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun, create_run
from offbus.report.model import Report
from offbus.runner.clock import SystemClock
from offbus.runner.run_end import write_report
from offbus.runner.session import Session
from offbus.runs import environment_lock, unfinished_runs

__all__ = ["PARTING", "held_run", "identity_of", "play_session", "shown_end", "view_of"]

PARTING = "offbus: exited before everything was undone; finish with: offbus recover {}"


def identity_of(scenario: Scenario) -> str:
    """Of the environment that it acts on. Not to be called inside an event loop. Raises OffbusError."""
    return scenario.environment.type.opener.identity(scenario.environment.options)


@contextmanager
def held_run(base: Path, scenario: Scenario, identity: str, run: str = "") -> Iterator[OpenRun]:
    """A new run's folder, with the locks of the run and of its environment. Raises CouldNotRun, also for leftovers.

    Without an id it gets a new one.
    """
    with environment_lock(base, identity):
        _refuse_leftovers(base, identity)
        with create_run(base, scenario.slug, identity, run) as folder, folder.lock():
            yield folder


def view_of(kind: str, scenario: Scenario, stream: Stream | None = None) -> View:
    """The view of a run of it, on standard output unless a stream is given."""
    plan = [(step.id, step.uses) for step in scenario.steps]
    return make_view(kind, scenario.title, plan, stream=stream)


def shown_end(report: Report, folder: OpenRun, view: View) -> Exit:
    """Write a run's report and print its closing lines; its exit code, with that of a report that cannot be written.

    On a full disk there is only the journal, and the run may be unfinished, though everything was undone.
    """
    code, path = Exit(report.exit), folder.report
    try:
        write_report(report, folder)
    except CouldNotRun as err:
        from offbus.cli.problems import print_error

        code, path = worst(code, Exit(print_error(err))), folder.journal
    view.finish(report, path, unfinished=folder.unfinished.exists())
    return code


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
