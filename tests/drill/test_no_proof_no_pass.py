"""A drill cannot pass without its proof: parts are taken away from the world, never from the scenario."""

import os
import shutil
import signal

import pytest
from conftest import SCENARIOS, processes_below, up, variant

pytestmark = pytest.mark.drill

SOON = {
    "id:__cordon,__uses:__await_cordon,__timeout:__3m": "id: cordon, uses: await_cordon, timeout: 6s",
    "verify_inference,__with:__{expect:__failure,__node:__"
    '"${{__steps.inject.outputs.node__}}"},__timeout:__2m': "verify_inference, with: {expect: failure, "
    'node: "${{ steps.inject.outputs.node }}"}, timeout: 6s',
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


def test_a_kernel_log_that_drops_the_line_after_acknowledging_it(offbus, tmp_path):
    for node in up(offbus).nodes():
        (node / "kmsg").unlink()
        (node / "kmsg").symlink_to("/dev/null")
    failed(offbus.run(SCENARIOS / "xid79.yaml"), "kernel")


def test_a_page_that_processes_do_not_map(offbus, tmp_path):
    for node in up(offbus).nodes():
        page = node / "run" / "offbus" / "ctl"
        shutil.copy(page, tmp_path / "ctl")
        page.unlink()  # the agent keeps writing to the page that it mapped; processes find another one
        shutil.copy(tmp_path / "ctl", page)
    finished = offbus.run(variant(tmp_path, "xid79", **SOON))
    failed(finished, "cuda")


def test_a_responder_that_is_stopped(offbus, tmp_path):
    sandbox = up(offbus)
    for process in processes_below(sandbox.folder):
        with open(f"/proc/{process}/cmdline", "rb") as line:  # noqa: PTH123  a process may be gone
            if b"offbus_sandbox.responder" in line.read():
                os.kill(process, signal.SIGSTOP)
    finished = offbus.run(variant(tmp_path, "xid79", **SOON))
    failed(finished, "cordon")


def test_a_node_without_the_target(offbus, tmp_path):
    up(offbus, "--nodes", "4")
    planes = "planes:__[kernel,__cuda,__nvml]}"
    scenario = variant(tmp_path, "xid79", **{planes: "planes: [kernel, cuda, nvml], node: node-4}"})
    finished = offbus.run(scenario)
    failed(finished, "node-4")
