"""Leases: they end in time, they survive the agent, and an expiry is final."""

import contextlib
import fcntl
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from offbus_agent.faults.store import Store
from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import GPU1, LEASE, OWNER, request
from tests.kits.watching import wait_until

KERNEL = ["kernel"]


def slots(node):
    """The faults on the node's page, as processes would see them."""
    return {slot.fault_id for slot in ControlPage.create(node.ctl).read().slots}


def test_a_fault_lapses_by_itself_and_leaves_the_page(agent, node):
    agent.post("/faults", request(ttl_s=0.3), expect=201)
    assert slots(node) == {"f1"}
    expired = agent.wait_for("f1", "expired")
    fault = agent.get("/faults/f1")
    assert fault["state"] == "expired"
    assert expired["at_ns"] >= fault["expires_ns"]
    assert slots(node) == set()


@pytest.mark.parametrize("action", ["renew", "arm"])
def test_a_lapse_is_final(agent, action):
    agent.post("/faults", request(ttl_s=0.1), expect=201)
    agent.wait_for("f1", "expired")
    status, error = agent.refused(f"/faults/f1/{action}", LEASE)
    assert (status, error["code"]) == (410, "expired")
    assert agent.post("/faults/f1/recover", OWNER)["state"] == "expired"


def test_renewing_moves_the_end(agent, node):
    made = agent.post("/faults", request(ttl_s=30), expect=201)
    renewed = agent.post("/faults/f1/renew", {**LEASE, "ttl_s": 300})
    assert renewed["expires_ns"] > made["expires_ns"] + 200_000_000_000
    assert renewed["generation"] == made["generation"]
    (slot,) = ControlPage.create(node.ctl).read().slots
    assert slot.expires_ns == renewed["expires_ns"]


def test_a_shorter_lease_ends_sooner(agent):
    agent.post("/faults", request(ttl_s=3000), expect=201)
    agent.post("/faults/f1/renew", {**LEASE, "ttl_s": 0.2})
    agent.wait_for("f1", "expired")


def test_a_disarmed_fault_has_no_lease_to_renew(agent):
    agent.post("/faults", request(), expect=201)
    agent.post("/faults/f1/disarm", OWNER)
    status, error = agent.refused("/faults/f1/renew", LEASE)
    assert (status, error["code"]) == (409, "not_armed")


class TestRestart:
    """The agent is killed without warning and started again."""

    def test_what_lives_goes_on(self, agents, node):
        agent = agents.start()
        made = agent.post("/faults", request(), expect=201)
        agent.stop(signal.SIGKILL)
        again = agents.start()
        assert again.get("/faults/f1") == made
        assert slots(node) == {"f1"}
        assert ControlPage.create(node.ctl).read().slots[0].generation == made["generation"]
        assert len(node.lines()) == 1
        again.post("/faults/f1/disarm", OWNER)
        assert slots(node) == set()

    def test_what_expired_meanwhile_is_disarmed_at_once(self, agents, node):
        agent = agents.start()
        agent.post("/faults", request(ttl_s=0.2), expect=201)
        agent.stop(signal.SIGKILL)
        again = agents.start()
        again.wait_for("f1", "expired")
        assert again.get("/faults/f1")["state"] == "expired"
        assert slots(node) == set()
        assert again.refused("/faults/f1/renew", LEASE)[0] == 410

    def test_a_fault_of_another_boot_has_expired(self, agents, node):
        agents.start().post("/faults", request(), expect=201)
        agents.stop_all()
        kept = json.loads(node.state.read_text())
        kept["boot_id"] = "00000000-0000-0000-0000-000000000000"
        node.state.write_text(json.dumps(kept))
        assert agents.start().get("/faults/f1")["state"] == "expired"
        assert slots(node) == set()

    def test_a_fault_that_was_being_applied_is_undone(self, agents, node):
        """The state on disk is that of an agent that died between persisting and settling."""
        agents.start().post("/faults", request(), expect=201)
        agents.stop_all()
        kept = json.loads(node.state.read_text())
        kept["faults"]["f1"]["phase"] = "applying"
        kept["faults"]["f1"]["fault"]["state"] = "disarmed"
        node.state.write_text(json.dumps(kept))
        again = agents.start()
        assert slots(node) == set()
        assert again.refused("/faults", request())[1]["code"] == "interrupted"
        assert again.refused("/faults/f1/arm", LEASE)[1]["code"] == "interrupted"

    def test_a_fault_on_the_page_that_nobody_remembers_is_disarmed(self, agents, node):
        agents.start().post("/faults", request(), expect=201)
        agents.stop_all()
        node.state.unlink()
        again = agents.start()
        assert again.get("/faults")["faults"] == []
        assert slots(node) == set()

    def test_a_state_that_cannot_be_read_is_kept_aside_and_nothing_stays_armed(self, agents, node):
        agents.start().post("/faults", request(), expect=201)
        agents.stop_all()
        node.state.write_text('{"version": 1, "fau')
        again = agents.start()
        assert again.get("/faults")["faults"] == []
        assert slots(node) == set()
        assert list(node.state.parent.glob("faults.unreadable-*"))
        assert "starting without faults" in again.stop()[1]

    def test_each_state_that_cannot_be_read_is_kept(self, tmp_path):
        """Also where each agent has the same process id, as in a container."""
        for text in ("first", "second"):
            (tmp_path / "faults.json").write_text(text)
            with contextlib.closing(Store(tmp_path, "boot")) as store:
                assert "starting without faults" in str(store.load())
        kept = tmp_path.glob("faults.unreadable-*")
        assert sorted(one.read_text() for one in kept) == ["first", "second"]

    def test_epochs_survive(self, agents):
        agents.start().refused("/faults/f1/recover", {"run": "run-1", "epoch": 7})
        agents.stop_all()
        assert agents.start().refused("/faults", request())[1]["code"] == "stale_epoch"

    def test_a_clean_end_leaves_armed_faults_to_their_lease_without_a_heartbeat(self, agents, node):
        agent = agents.start()
        agent.post("/faults", request(), expect=201)
        beat = ControlPage.create(node.ctl).read().heartbeat_ns
        status, _ = agent.stop()
        assert status == 0
        assert slots(node) == {"f1"}
        assert ControlPage.create(node.ctl).read().heartbeat_ns - beat < 10_000_000_000
        assert agents.start().get("/faults/f1")["state"] == "armed"

    def test_the_mapped_files_stay_the_same_files(self, agents, node):
        """A renamed page is stale for ever in a process that has it mapped; a truncated one kills it."""
        agents.start()
        before = [(path.stat().st_ino, path.stat().st_size) for path in (node.ctl, node.events)]
        agents.stop_all()
        agents.start()
        assert [(path.stat().st_ino, path.stat().st_size) for path in (node.ctl, node.events)] == before


def known(agent, node, faults):
    """Wait until the agent knows of so many faults: it keeps them in a file."""
    wait_until(node.state.parent, lambda: agent.get("/health")["faults"] >= faults)


class TestBusyLog:
    """Another writer holds the lock of the kernel log for a while."""

    @pytest.fixture
    def held(self, node):
        fd = os.open(node.kmsg, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, fd)
            yield stack

    def test_the_agent_answers_meanwhile_and_disarms_what_else_there_is(self, agent, node, held):
        agent.post("/faults", request("other", planes=["cuda"], gpus=[GPU1]), expect=201)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(agent.client.post, "/faults", json=request())
            known(agent, node, 2)
            assert agent.post("/faults/other/disarm", OWNER)["state"] == "disarmed"
            assert not slow.done()
            held.close()
            assert slow.result().status_code == 201

    def test_the_same_request_twice_at_once_is_one_fault(self, agent, node, held):
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(agent.client.post, "/faults", json=request()) for _ in range(2)]
            known(agent, node, 1)
            held.close()
            assert sorted(one.result().status_code for one in both) == [200, 201]
        assert len(node.lines()) == 1

    def test_a_takeover_waits_for_the_injection_and_ends_it(self, agent, node, held):
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(agent.client.post, "/faults", json=request())
            known(agent, node, 1)
            recovered = pool.submit(
                agent.client.post, "/faults/f1/recover", json={"run": "run-1", "epoch": 2}
            )
            held.close()
            assert slow.result().status_code == 201
            assert recovered.result().json()["state"] == "disarmed"
        assert slots(node) == set()


class TestPlanesThatFail:
    """A plane is taken away from the world: never a success, and nothing stays armed."""

    @pytest.mark.parametrize(
        "break_log",
        [
            pytest.param(lambda node: node.kmsg.unlink(), id="removed"),
            pytest.param(
                lambda node: (node.kmsg.unlink(), node.kmsg.symlink_to("/dev/null")), id="swallowing"
            ),
            pytest.param(lambda node: (node.kmsg.unlink(), node.kmsg.symlink_to("/dev/full")), id="full"),
            pytest.param(lambda node: node.kmsg.write_text("not a record\n"), id="no-records"),
        ],
    )
    def test_a_kernel_log_that_loses_lines(self, agent, node, break_log):
        break_log(node)
        status, error = agent.refused("/faults", request())
        assert (status, error["code"], error["plane"]) == (500, "plane_failed", "kernel")
        assert error["kernel"] == []
        assert slots(node) == set()
        assert agent.get("/faults")["faults"] == []
        assert agent.get("/health")["armed"] == 0

    def test_the_same_request_works_once_the_log_is_back(self, agent, node):
        node.kmsg.rename(node.root / "elsewhere")
        agent.refused("/faults", request())
        (node.root / "elsewhere").rename(node.kmsg)
        agent.post("/faults", request(), expect=201)

    def test_health_says_which_plane_does_not_work(self, agent, node):
        node.kmsg.unlink()
        kernel = agent.get("/health")["planes"]["kernel"]
        assert kernel["ok"] is False
        assert "no kernel log at" in kernel["why"]

    def test_a_page_that_was_exchanged_is_no_plane(self, agent, node):
        """Somebody put another file in its place: new processes would map that one, and see no fault."""
        other = node.root / "other"
        other.write_bytes(node.ctl.read_bytes())
        other.replace(node.ctl)
        status, error = agent.refused("/faults", request())
        assert (status, error["code"], error["plane"]) == (500, "not_shown", "cuda")
        assert node.lines() == []
        assert agent.get("/health")["planes"]["cuda"]["ok"] is False

    def test_an_agent_that_cannot_persist_injects_nothing(self, agent, node):
        node.state.parent.rename(node.root / "gone")
        status, error = agent.refused("/faults", request())
        assert (status, error["code"]) == (500, "not_persisted")
        assert node.lines() == []
        assert slots(node) == set()
        assert agent.get("/faults")["faults"] == []
        (node.root / "gone").rename(node.state.parent)
        agent.post("/faults", request(), expect=201)

    def test_a_full_disk_does_not_keep_a_fault_armed(self, agent, node):
        agent.post("/faults", request(ttl_s=0.5), expect=201)
        node.state.parent.rename(node.root / "gone")
        agent.wait_for("f1", "expired")
        assert slots(node) == set()

    def test_nobody_sees_a_fault_that_no_process_met(self, agent):
        """Armed, with no process that has the page mapped: no faulted call may be claimed."""
        agent.post("/faults", request(), expect=201)
        fault = agent.get("/faults/f1")
        assert fault["first_faulted"] == []
        assert fault["processes"] == []
        assert fault["counts"] == {"intercepted": 0, "faulted": 0}
        assert agent.post("/faults", request("f2", gpus=[GPU1]), expect=201)["first_faulted"] == []
