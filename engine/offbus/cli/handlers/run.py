"""What `offbus run` does: load the scenario, refuse leftovers, run it, report."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio

from offbus.cli.output import say
from offbus.cli.views import View, make_view
from offbus.errors import CouldNotRun, OffbusError
from offbus.exits import Exit, worst
from offbus.language.load import load_scenario
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun, create_run
from offbus.report.model import Report
from offbus.runner.clock import SystemClock
from offbus.runner.run_end import write_report
from offbus.runner.session import Session
from offbus.runner.signals import stop_on_signals
from offbus.runs import default_runs, environment_lock, unfinished_runs

__all__ = ["run_file"]


def run_file(
    file: Path,
    *,
    sets: Mapping[str, str],
    env: str | None,
    env_sets: Mapping[str, str],
    runs: Path | None,
    view: str,
    settle: bool = True,
) -> int:
    """Run a scenario file; the exit code. Raises OffbusError before anything was changed."""
    scenario = load_scenario(file, sets=sets, env=env, env_sets=env_sets)
    scenario.load_runs()
    base = (runs or default_runs()).resolve()
    identity = scenario.environment.type.opener.identity(scenario.environment.options)
    with ExitStack() as held:
        held.enter_context(environment_lock(base, identity))
        _refuse_leftovers(base, identity)
        folder = held.enter_context(create_run(base, scenario.name, identity))
        held.enter_context(folder.lock())
        return _play(scenario, folder, identity, view, settle=settle)


def _play(scenario: Scenario, folder: OpenRun, identity: str, kind: str, *, settle: bool) -> int:
    gc.freeze()  # the scenario stays until the end
    plan = [(step.id, step.uses) for step in scenario.steps]
    with make_view(kind, scenario.name, plan) as view:
        report = anyio.run(partial(_session, scenario, folder, identity, view, settle=settle))
        codes = [Exit(report.exit)]
        try:
            write_report(report, folder)
        except CouldNotRun as err:
            from offbus.cli.problems import print_error

            codes.append(Exit(print_error(err)))
        view.finish(report, folder.report)
    return worst(*codes)


async def _session(scenario: Scenario, folder: OpenRun, identity: str, view: View, *, settle: bool) -> Report:
    session = Session(
        scenario,
        folder,
        SystemClock(),
        identity=identity,
        listeners=[view.event],
        progress=view.progress,
        settle=settle,
    )
    loop = asyncio.get_running_loop()
    parting = f"offbus: exited before everything was undone; finish with: offbus recover {folder.path}"
    with stop_on_signals(loop.call_soon_threadsafe, session.stop, lambda: parting):
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
