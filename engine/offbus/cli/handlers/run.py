"""What `offbus run` does: load the scenario, and play it, or the cells of its matrix."""

import asyncio
import gc
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import anyio

from offbus.cli.handlers.play import PARTING, held_run, identity_of, play_session, shown_end, view_of
from offbus.cli.problems import print_warnings
from offbus.cli.views import View
from offbus.language.load import load_cells
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun
from offbus.report.model import Report
from offbus.runner.session import Session
from offbus.runner.signals import stop_on_signals
from offbus.runs import make_base

__all__ = ["run_file"]


def run_file(
    file: Path,
    *,
    sets: Mapping[str, str],
    inputs: Path | None = None,
    env: str | None,
    env_sets: Mapping[str, str],
    runs: Path | None,
    view: str,
    settle: bool = True,
    cell: str | None = None,
    resume: Path | None = None,
) -> int:
    """Run a scenario file, all cells of its matrix; the exit code. Raises OffbusError before anything was changed."""
    loaded = load_cells(file, sets=sets, inputs=inputs, env=env, env_sets=env_sets, cell=cell)
    print_warnings(loaded.warnings)
    for scenario in loaded.scenarios:
        scenario.load_runs()
    base = make_base(runs)
    if resume is not None or (loaded.matrix is not None and cell is None):
        from offbus.cli.handlers.run_matrix import run_cells

        return run_cells(loaded, base, view, settle=settle, resume=resume)
    [scenario] = loaded.scenarios
    identity = identity_of(scenario)
    with held_run(base, scenario, identity) as folder:
        gc.freeze()  # the scenario stays until the end
        with view_of(view, scenario) as shown:
            report = anyio.run(partial(_session, scenario, folder, identity, shown, settle=settle))
            return shown_end(report, folder, shown)


async def _session(scenario: Scenario, folder: OpenRun, identity: str, view: View, *, settle: bool) -> Report:
    sessions: list[Session] = []
    loop = asyncio.get_running_loop()

    def stop(signal: str) -> None:
        for session in sessions:
            session.stop(signal)

    with stop_on_signals(loop.call_soon_threadsafe, stop, lambda: PARTING.format(folder.path)):
        return await play_session(scenario, folder, identity, view, settle=settle, begun=sessions.append)
