"""A scenario is read with its steps' declarations alone: no module that runs a step, or undoes it, is imported."""

import json
import subprocess
import sys

import pytest

from offbus.plugins import STEPS, UNDOS, installed

OURS = "offbus"
"""Our own distribution."""
ENGINE = {"cleanup", "scenario"}
"""The engine itself runs it, in the module that declares it."""
RUNNING = {
    "offbus_steps.agents.client",
    "offbus_steps.agents.lease_renewal",
    "offbus_steps.agents.live_faults",
    "offbus_steps.cluster",
    "offbus_steps.inference.ask",
    "offbus_steps.inference_client",
    "offbus_steps.kubernetes",
    "offbus_steps.residue",
    "offbus_steps.safety",
    "offbus_steps.watch.event_log",
    "offbus_steps.watch.observer",
}
"""What acts on a cluster for the steps: modules, or packages of which nothing may be imported."""
LIBRARIES = {"aiohttp", "anyio", "asyncio", "httpx", "kubernetes_asyncio", "trio"}
"""Tasks, and requests to somebody."""

LOAD = """
import json, sys
from offbus.plugins import installed
before = set(sys.modules)
installed().step_type(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def types(group: str) -> list[str]:
    """The names of our own types."""
    registry = installed()
    found = ((name, registry.plugin(group, name)) for name in registry.names(group))
    return [name for name, plugin in found if plugin is not None and plugin.package == OURS]


def undo_modules() -> set[str]:
    """The modules of our undo types."""
    found = (installed().plugin(UNDOS, name) for name in types(UNDOS))
    return {plugin.target.partition(":")[0] for plugin in found if plugin is not None}


def imported(name: str) -> set[str]:
    """The modules that are imported when a step type is loaded, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, name], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", types(STEPS))
def test_a_declaration_imports_nothing_that_runs_it(name: str) -> None:
    modules = imported(name)
    plugin = installed().plugin(STEPS, name)
    assert plugin is not None
    assert plugin.target.partition(":")[0] in modules, "the modules are seen at all"
    run = installed().step_type(name).run
    runner = {run.partition(":")[0]} if isinstance(run, str) else set()
    assert runner or name in ENGINE, "it says where what runs it stands"
    forbidden = RUNNING | LIBRARIES | runner | undo_modules()
    assert [
        one for one in sorted(modules) if any(one == bad or one.startswith(f"{bad}.") for bad in forbidden)
    ] == []


@pytest.mark.parametrize("name", types(STEPS))
def test_what_runs_a_step_is_where_its_declaration_says(name: str) -> None:
    step_type = installed().step_type(name)
    run = step_type.load_run()
    if isinstance(step_type.run, str):
        assert f"{run.__module__}:{run.__name__}" == step_type.run


def test_each_undo_type_stands_in_a_module_that_is_known_for_it() -> None:
    """Else the test of the declarations would not see it."""
    assert undo_modules()
    assert [one for one in undo_modules() if not one.rpartition(".")[2].startswith("undo_")] == []
