"""The responder's documented clear, and attempts that failed: what is written, what is remembered, what is refused."""

import json
import os
import stat
from pathlib import Path

import pytest

from tests.kits.agent.node_world import GPU0, GPU1, LEASE, OWNER, list_gpus, monitor, request

KERNEL = ["kernel"]
RESET = "GPU reset executed: {}, success: true"
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may make a device")


def resets(node):
    return [line for line in node.lines() if line.startswith("GPU reset")]


def null_device(path):
    """A log that takes every line and keeps none."""
    path.unlink()
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.fixture
def known(node):
    """The responder's monitor, started after the metadata was written: it knows both GPUs."""
    list_gpus(node, GPU0, GPU1)
    with monitor(node) as process:
        yield process


class TestClear:
    """`POST /faults/{id}/clear`."""

    @pytest.mark.parametrize("end", ["disarm", "recover"])
    @pytest.mark.usefixtures("known")
    def test_each_gpu_that_the_responder_knows_is_reported_as_reset(self, agent, node, end):
        agent.post("/faults", request(gpus=[GPU0, GPU1], planes=KERNEL), expect=201)
        agent.post(f"/faults/f1/{end}", OWNER)
        answer = agent.post("/faults/f1/clear", OWNER)
        assert resets(node) == [RESET.format(GPU0), RESET.format(GPU1)]
        assert [(one["gpu"], one["line"]) for one in answer["lines"]] == [
            (GPU0, RESET.format(GPU0)),
            (GPU1, RESET.format(GPU1)),
        ]
        assert [one["seq"] for one in answer["lines"]] == [2, 3]
        assert (answer["fault"], answer["left_out"]) == ("f1", [])

    @pytest.mark.usefixtures("known")
    def test_no_other_gpu_is_cleared(self, agent, node):
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        agent.post("/faults/f1/clear", OWNER)
        assert resets(node) == [RESET.format(GPU0)]

    @pytest.mark.parametrize("listed", [(), (GPU1,)], ids=["none", "another"])
    def test_a_gpu_that_the_metadata_does_not_list_is_left_out_with_the_reason(self, agent, node, listed):
        if listed:
            list_gpus(node, *listed)
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        answer = agent.post("/faults/f1/clear", OWNER)
        assert (answer["lines"], resets(node)) == ([], [])
        (left,) = answer["left_out"]
        assert left["gpu"] == GPU0
        assert "gpu_metadata.json does not list it" in left["why"]

    @pytest.mark.usefixtures("known")
    def test_a_repeated_clear_writes_nothing_more(self, agents, node):
        agent = agents.start()
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/recover", OWNER)
        first = agent.post("/faults/f1/clear", OWNER)
        agent.stop()
        again = agents.start()
        assert again.post("/faults/f1/clear", OWNER) == first
        assert len(resets(node)) == 1

    def test_an_armed_fault_is_not_cleared(self, agent, node):
        list_gpus(node, GPU0)
        agent.post("/faults", request(planes=KERNEL), expect=201)
        status, error = agent.refused("/faults/f1/clear", OWNER)
        assert (status, error["code"]) == (409, "still_armed")
        assert resets(node) == []

    @pytest.mark.parametrize(
        ("fault", "owner", "status", "code"),
        [
            pytest.param("nope", OWNER, 404, "no_such_fault", id="unknown"),
            pytest.param("f1", {**OWNER, "run": "run-2"}, 409, "other_run", id="another-run"),
            pytest.param("f1", {**OWNER, "epoch": 0}, 409, "stale_epoch", id="superseded"),
            pytest.param("f1", {"run": "run-1"}, 422, "invalid_body", id="no-epoch"),
        ],
    )
    def test_who_may_not_clear(self, agent, node, fault, owner, status, code):
        list_gpus(node, GPU0)
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        assert agent.refused(f"/faults/{fault}/clear", owner)[0] == status
        assert agent.refused(f"/faults/{fault}/clear", owner)[1]["code"] == code
        agent.client.headers.pop("X-Offbus-Token")
        assert agent.refused("/faults/f1/clear", OWNER)[0] == 401
        assert resets(node) == []

    def test_a_metadata_file_that_makes_no_sense_clears_nothing(self, agent, node):
        path = list_gpus(node, GPU0)
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        path.write_text("{")
        status, error = agent.refused("/faults/f1/clear", OWNER)
        assert (status, error["code"]) == (500, "gpus_unknown")
        assert resets(node) == []


class TestWhatTheMonitorKnows:
    """A reset line for a GPU that the monitor does not know would blind it for ever: refused unless it is known to."""

    def refused(self, agent, node):
        """Why a clear of GPU0 wrote no line."""
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        answer = agent.post("/faults/f1/clear", OWNER)
        assert (answer["lines"], resets(node)) == ([], [])
        (left,) = answer["left_out"]
        return left["why"]

    def test_without_a_monitor_nothing_says_what_it_knows(self, agent, node):
        list_gpus(node, GPU0)
        assert "no process of NVSentinel's syslog-health-monitor is recognised" in self.refused(agent, node)

    def test_a_monitor_that_is_older_than_the_file_has_not_read_it(self, agent, node, known):
        list_gpus(node, GPU0, GPU1)
        why = self.refused(agent, node)
        assert f"is newer than the monitor (pid {known.pid})" in why
        assert "restart the monitor" in why

    def test_a_file_that_was_moved_there_is_as_new_as_the_moving(self, agent, node, known):
        path = list_gpus(node, GPU0, GPU1)
        old = path.with_name("aside")
        path.rename(old)
        os.utime(old, (1, 1))
        old.rename(path)
        assert f"is newer than the monitor (pid {known.pid})" in self.refused(agent, node)

    def test_a_restarted_monitor_knows_it(self, agent, node, known):
        list_gpus(node, GPU0)
        known.kill()
        with monitor(node):
            agent.post("/faults", request(planes=KERNEL), expect=201)
            agent.post("/faults/f1/disarm", OWNER)
            assert [one["gpu"] for one in agent.post("/faults/f1/clear", OWNER)["lines"]] == [GPU0]

    def test_one_old_monitor_among_new_ones_is_enough(self, agent, node, known):
        list_gpus(node, GPU0)
        with monitor(node):
            assert f"is newer than the monitor (pid {known.pid})" in self.refused(agent, node)

    def test_it_is_refused_again_after_it_was_allowed(self, agent, node, known):
        """A second fault's clear looks again."""
        for fault in ("f1", "f2"):
            agent.post("/faults", request(fault, planes=KERNEL), expect=201)
            agent.post(f"/faults/{fault}/disarm", OWNER)
        assert agent.post("/faults/f1/clear", OWNER)["left_out"] == []
        list_gpus(node, GPU0)
        assert len(agent.post("/faults/f2/clear", OWNER)["left_out"]) == 1


class TestNotShown:
    """Done, and without effect: another answer than what could not be done."""

    @needs_root
    def test_a_log_that_keeps_nothing(self, agents, node):
        null_device(node.kmsg)
        agent = agents.start()
        status, error = agent.refused("/faults", request())
        assert (status, error["code"], error["plane"], error["kernel"]) == (500, "not_shown", "kernel", [])
        handed = agent.post("/faults/f1/recover", OWNER)
        assert (handed["state"], handed["kernel"], handed["unread"]) == ("failed", [], [])

    @needs_root
    @pytest.mark.usefixtures("known")
    def test_a_clear_that_does_not_show(self, agents, node):
        agent = agents.start()
        agent.post("/faults", request(planes=KERNEL), expect=201)
        agent.post("/faults/f1/disarm", OWNER)
        agent.stop()
        null_device(node.kmsg)
        status, error = agents.start().refused("/faults/f1/clear", OWNER)
        assert (status, error["code"]) == (500, "not_shown")

    def test_health_tells_the_two_apart(self, agent, node):
        other = node.root / "other"
        other.write_bytes(node.ctl.read_bytes())
        other.replace(node.ctl)
        node.kmsg.unlink()
        planes = agent.get("/health")["planes"]
        assert {name: plane["code"] for name, plane in planes.items()} == {
            "kernel": "plane_failed",
            "cuda": "not_shown",
            "nvml": "not_shown",
        }


class TestFailedAttempts:
    """The agent remembers what a failed attempt left."""

    def test_lines_that_were_written_are_told_to_whoever_recovers(self, agents, node):
        """The page has room for 16 GPUs: the seventeenth's line is in the log before the page refuses it."""
        gpus = [
            {
                "index": i,
                "uuid": f"GPU-{i:08x}-2222-3333-4444-555555555555",
                "pci": f"0000:{i:02x}:00.0",
                "name": "H",
            }
            for i in range(17)
        ]
        (node.root / "gpus.json").write_text(json.dumps({"gpus": gpus}))
        uuids = [gpu["uuid"] for gpu in gpus]
        agent = agents.start()
        agent.post("/faults", request("full", planes=["cuda"], gpus=uuids[:16]), expect=201)
        status, error = agent.refused("/faults", request(gpus=uuids[16:]))
        assert (status, error["code"], error["plane"]) == (500, "plane_failed", "cuda")
        handed = agent.post("/faults/f1/recover", OWNER)
        assert (handed["state"], [entry["line"] for entry in handed["kernel"]]) == ("failed", node.lines())
        assert [entry["line"] for entry in error["kernel"]] == node.lines()
        assert agent.refused("/faults", request(gpus=uuids[16:]))[1]["code"] == "id_used"
        list_gpus(node, *uuids)
        with monitor(node):
            assert [one["gpu"] for one in agent.post("/faults/f1/clear", OWNER)["lines"]] == uuids[16:]

    def test_a_failed_attempt_is_not_listed_and_cannot_be_armed(self, agent, node):
        node.kmsg.unlink()
        agent.refused("/faults", request())
        assert agent.get("/faults")["faults"] == []
        assert agent.client.get("/faults/f1").status_code == 404
        assert agent.refused("/faults/f1/arm", LEASE)[0] == 404
        handed = agent.post("/faults/f1/recover", OWNER)
        assert (handed["state"], handed["kernel"]) == ("failed", [])

    def test_it_outlives_the_agent(self, agents, node):
        agent = agents.start()
        Path(node.root / "aside").write_bytes(b"")
        node.kmsg.rename(node.root / "aside")
        agent.refused("/faults", request())
        agent.stop()
        (node.root / "aside").rename(node.kmsg)
        assert agents.start().post("/faults/f1/recover", OWNER)["state"] == "failed"
