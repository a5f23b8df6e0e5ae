"""A drill cannot pass without its proof: parts are taken away from the world, never from the scenario."""

import os
import shutil
import signal
import stat
import threading
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Ref
from tests.kits.drill.drill_world import signal_program, up, variant
from tests.kits.drill.playing import SCENARIOS
from tests.kits.watching import wait_until

pytestmark = pytest.mark.drill

SOON = {
    "id:__cordon,__uses:__await_cordon,__timeout:__3m": "id: cordon, uses: await_cordon, timeout: 3s",
    'xid:__"${{__inputs.xid__}}",__planes:': 'xid: "${{ inputs.xid }}", patience: 1s, planes:',
}
"""Nothing is to be seen, so the waiting is cut short."""


def failed(finished, *words):
    """Exit code 1, nothing left behind, and the report names what was missing."""
    assert finished.code == 1, finished.output
    assert finished.report["verdict"] == "failed"
    assert finished.report["residue"] == []
    text = "\n".join(finished.report["reasons"])
    for word in words:
        assert word in text, text
        assert word in finished.output


def starts(node):
    """How often the agent of a node has said that it is ready."""
    return (node / "log" / "agent.log").read_text().count("ready on")


def restart_agents(sandbox):
    """Kill the agents; their supervisor starts others. Returns when these are ready."""
    before = {node: starts(node) for node in sandbox.nodes()}
    killed = signal_program(sandbox.folder, "offbus_agent", signal.SIGKILL)
    assert len(killed) == len(before)
    for node, count in before.items():
        wait_until(node / "log", lambda node=node, count=count: starts(node) > count)


async def cordon(layout, node):
    """Keep the target's pods away from a node."""
    async with LocalPort(layout.api) as port:
        await port.objects.patch(Ref("Node", node), {"spec": {"unschedulable": True}})


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a device")
def test_a_kernel_log_that_drops_the_line_after_acknowledging_it(offbus):
    sandbox = up(offbus)
    for node in sandbox.nodes():
        (node / "kmsg").unlink()
        os.mknod(node / "kmsg", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    restart_agents(sandbox)
    finished = offbus.run(SCENARIOS / "xid79.yaml")
    failed(finished, "kernel", "accepted the line and does not return it", "not proven on plane kernel")
    assert finished.step("inject")["outcome"] == "failed"


def test_a_page_that_processes_do_not_map(offbus, tmp_path):
    for node in up(offbus).nodes():
        page = node / "run" / "offbus" / "page" / "ctl"
        shutil.copy(page, tmp_path / "ctl")
        page.unlink()  # the agent keeps writing to the page that it mapped; processes find another one
        shutil.copy(tmp_path / "ctl", page)
    finished = offbus.run(SCENARIOS / "xid79.yaml")
    failed(finished, "plane cuda", "processes that start now would not see our page")
    assert finished.report["faults"] == []


def inert(library: Path) -> int:
    """Put a library that does nothing in the shim's place; its inode."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    path = next(line.split()[-1] for line in maps if "/libm.so" in line or "/libc.so" in line)
    library.unlink()
    shutil.copy(path, library)
    return library.stat().st_ino


def test_a_shim_that_was_replaced(offbus):
    for node in up(offbus).nodes():
        inert(node / "run" / "offbus" / "lib" / "liboffbus.so")
    finished = offbus.run(SCENARIOS / "xid79.yaml")
    assert finished.code == 3, finished.output
    assert "liboffbus.so had been replaced or removed and is restored now" in finished.output
    assert finished.report["faults"] == []


def test_a_shim_that_does_nothing(offbus):
    """It is loaded, as every library would be; what is armed reaches nobody. Ours is back before the arming."""
    libraries = [node / "run" / "offbus" / "lib" / "liboffbus.so" for node in up(offbus).nodes()]
    ours = libraries[0].read_bytes()
    loaded = {inert(library): library for library in libraries}
    over = threading.Event()

    def give_back() -> None:
        while loaded and not over.is_set():
            for maps in Path("/proc").glob("[0-9]*/maps"):
                with suppress(OSError):
                    words = {line.split()[4] for line in maps.read_text().splitlines()}
                    for inode in [one for one in loaded if str(one) in words]:
                        library = loaded.pop(inode)
                        library.unlink()
                        library.write_bytes(ours)

    giving = threading.Thread(target=give_back)
    giving.start()
    try:
        finished = offbus.run(SCENARIOS / "xid79.yaml")
    finally:
        over.set()
        giving.join()
    failed(finished, "requests well", "no faulted CUDA call by a process of the target was seen")
    fault = finished.report["faults"][0]
    assert not fault["proven"]
    assert sorted(fault["missing"]) == ["cuda", "nvml"]


def test_a_responder_that_is_stopped(offbus, tmp_path):
    sandbox = up(offbus)
    stopped = signal_program(sandbox.folder, "offbus_sandbox.responder", signal.SIGSTOP)
    assert len(stopped) == len(sandbox.nodes()) + 1
    finished = offbus.run(variant(tmp_path, "xid79", **SOON))
    failed(finished, "step cordon", "time_to_cordon was not measured")
    assert finished.report["faults"][0]["proven"]


def test_a_node_without_the_target(offbus, tmp_path):
    sandbox = up(offbus, "--nodes", "4")
    anyio.run(cordon, Layout.of(sandbox.folder), "node-4")
    planes = "planes:__[kernel,__cuda,__nvml]}"
    scenario = variant(tmp_path, "xid79", **{planes: "planes: [kernel, cuda, nvml], node: node-4}"})
    finished = offbus.run(scenario)
    failed(finished, "node-4", "it has some on node-")
    assert finished.report["faults"] == []
    assert {undo["step"] for undo in finished.report["undos"]} == {"deploy", "prepare"}
