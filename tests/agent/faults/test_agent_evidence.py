"""Evidence: what real processes under the real shim meet, and what lying ones cannot make the agent believe."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from offbus_agent.faults.process_evidence import MOST_CALLS, MOST_CALLS_OF_A_POD
from offbus_agent.page.abi import RECORD_COMPLETE, EventsHeader, Row
from tests.kits.agent.floods import rows as forged_rows
from tests.kits.agent.gpu_process import GpuProgram, needs_shim
from tests.kits.agent.node_world import GPU0, GPU1, LEASE, OWNER, request


@pytest.fixture
def programs(node):
    started = []

    def start(*prefix, **more):
        started.append(GpuProgram(node, *prefix, **more))
        return started[-1]

    yield start
    for program in started:
        program.end()


@needs_shim
class TestRealProcesses:
    """Under the real shim, with the stand-in driver."""

    def test_the_first_faulted_call_is_told_with_function_code_and_process(self, agent, programs):
        program = programs()
        assert program.ask("alloc") == 0
        made = agent.post("/faults", request(), expect=201)
        assert program.ask("alloc") == 719
        event = agent.wait_for("f1", "first_faulted")
        assert event["plane"] == "cuda"
        assert event["function"] == "cuMemAlloc_v2"
        assert (event["code"], event["code_name"]) == (719, "CUDA_ERROR_LAUNCH_FAILED")
        assert event["pid"] == event["host_pid"] == program.process.pid
        assert event["gpu"] == GPU0
        assert made["armed_ns"] <= event["at_ns"] <= agent.get("/health")["now_ns"]

    def test_nvml_shows_it_too(self, agent, programs):
        program = programs()
        agent.post("/faults", request(), expect=201)
        assert program.ask("nvml") == 15
        fault = agent.get("/faults/f1")
        (first,) = fault["first_faulted"]
        assert (first["plane"], first["code_name"]) == ("nvml", "NVML_ERROR_GPU_IS_LOST")
        assert fault["counts"]["faulted"] == 1
        assert fault["processes"][0]["host_pid"] == program.process.pid
        assert fault["processes"][0]["first_faulted"] == first

    def test_evidence_outlives_the_disarming_and_is_handed_over(self, agent, programs):
        program = programs()
        agent.post("/faults", request(), expect=201)
        assert program.ask("alloc") == 719
        agent.post("/faults/f1/disarm", OWNER)
        assert program.ask("alloc") == 0
        handed = agent.post("/faults/f1/recover", OWNER)
        assert [call["plane"] for call in handed["first_faulted"]] == ["cuda"]

    def test_disarming_takes_in_what_nobody_asked_for(self, agent, programs):
        program = programs()
        agent.post("/faults", request(), expect=201)
        program.ask("alloc")
        assert len(agent.post("/faults/f1/disarm", OWNER)["first_faulted"]) == 1
        kinds = [event["kind"] for event in agent.get("/faults/f1/events")["events"]]
        assert kinds == ["kernel_line", "armed", "first_faulted", "disarmed"]

    @pytest.mark.parametrize(("codes", "code"), [("driver", 719), ("guide", 100)])
    def test_whose_code_it_is_can_be_chosen(self, agent, programs, codes, code):
        program = programs()
        agent.post("/faults", request(codes=codes), expect=201)
        assert program.ask("alloc") == code
        assert agent.wait_for("f1", "first_faulted")["code"] == code

    def test_a_contained_error_spares_processes_that_start_later(self, agent, programs):
        old = programs()
        agent.post("/faults", request(xid=94, planes=["kernel", "cuda"]), expect=201)
        assert old.ask("alloc") == 226
        assert programs().ask("alloc") == 0

    def test_a_process_counts_for_the_pod_in_whose_folder_it_lives_and_reports(self, agent, node, programs):
        home = node.root / "pods/3f2504e0-4f89-41d3-9a0c-0305e82c3301"
        home.mkdir(parents=True)
        program, stranger = programs(home=home), programs(home=node.root)
        agent.post("/faults", request(), expect=201)
        assert (program.ask("alloc"), stranger.ask("alloc")) == (719, 719)
        calls = {call["host_pid"]: call["pod_uid"] for call in agent.get("/faults/f1")["first_faulted"]}
        assert calls == {program.process.pid: home.name}

    def test_a_process_that_ends_before_it_can_be_looked_up_is_known_from_the_arming(
        self, agents, node, programs
    ):
        home = node.root / "pods/3f2504e0-4f89-41d3-9a0c-0305e82c3301"
        home.mkdir(parents=True)
        agent, program = agents.start(), programs(home=home)
        agent.post("/faults", request(), expect=201)
        agent.process.send_signal(signal.SIGSTOP)  # it sees nothing of what follows
        assert program.ask("alloc") == 719
        program.end()
        agent.process.send_signal(signal.SIGCONT)
        event = agent.wait_for("f1", "first_faulted")
        assert (event["host_pid"], event["pod_uid"]) == (program.process.pid, home.name)

    def test_a_hanging_call_is_released_by_the_disarming(self, agent, programs):
        program = programs()
        agent.post("/faults", request(xid=94, planes=["cuda"], mode="hang"), expect=201)
        program.tell("alloc")
        event = agent.wait_for("f1", "first_faulted")
        assert (event["function"], event["code"]) == ("cuMemAlloc_v2", 0)
        agent.post("/faults/f1/disarm", OWNER)
        assert program.answer() == 0

    def test_a_process_without_the_page_meets_no_fault_and_none_is_claimed(self, agent, programs):
        program = programs(page=False)
        agent.post("/faults", request(), expect=201)
        assert program.ask("alloc") == 0
        fault = agent.get("/faults/f1")
        assert (fault["first_faulted"], fault["processes"]) == ([], [])

    def test_a_expired_fault_heals_the_process(self, agent, programs):
        program = programs()
        agent.post("/faults", request(ttl_s=1), expect=201)
        assert program.ask("alloc") == 719
        agent.wait_for("f1", "expired")
        assert program.ask("alloc") == 0

    def test_evidence_survives_the_agent(self, agents, programs):
        agent = agents.start()
        program = programs()
        agent.post("/faults", request(), expect=201)
        agent.stop(signal.SIGKILL)
        assert program.ask("alloc") == 719
        again = agents.start()
        assert again.wait_for("f1", "first_faulted")["host_pid"] == program.process.pid
        assert len(again.get("/faults/f1")["first_faulted"]) == 1
        assert again.post("/faults/f1/renew", LEASE)["state"] == "armed"

    @pytest.mark.skipif(os.getuid() != 0, reason="a pid namespace needs root")
    def test_a_process_in_a_pid_namespace_is_named_by_both_pids(self, agent, programs):
        program = programs("unshare", "--pid", "--fork", "--kill-child")
        agent.post("/faults", request(), expect=201)
        assert program.ask("alloc") == 719
        event = agent.wait_for("f1", "first_faulted")
        assert event["pid"] == 1
        child = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text().split()
        assert [event["host_pid"]] == [int(pid) for pid in child]

    def test_a_killed_agent_heals_the_process_by_its_missing_heartbeat(self, agents, programs):
        agent = agents.start()
        program = programs()
        agent.post("/faults", request(xid=94, planes=["cuda"], mode="hang"), expect=201)
        program.tell("alloc")
        agent.wait_for("f1", "first_faulted")
        agent.stop(signal.SIGKILL)
        assert program.answer() == 0


def lie(node, **changes):
    """Write a row into the events file, as any process with the folder mounted can."""
    usual = {
        "generation": 1,
        "pid": os.getpid(),
        "pid_namespace": Path("/proc/self/ns/pid").stat().st_ino,
        "code": 719,
        "at_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        "gpu": GPU0,
        "function": b"cuMemAlloc_v2",
    }
    claim = {**usual, **changes}
    row = Row(owner=1, pid=claim["pid"], generation=claim["generation"], start_ns=1, faulted=1)
    row.pid_namespace = claim["pid_namespace"]
    row.cuda.state, row.cuda.code = RECORD_COMPLETE, claim["code"]
    row.cuda.pid = row.cuda.tid = claim["pid"]
    row.cuda.at_ns = claim["at_ns"]
    row.cuda.gpu_uuid[:] = bytes.fromhex(claim["gpu"].removeprefix("GPU-").replace("-", ""))
    ctypes.memmove(row.cuda.function, claim["function"], len(claim["function"]))
    with node.events.open("r+b") as file:
        file.seek(ctypes.sizeof(EventsHeader))
        file.write(bytes(row))


@pytest.fixture
def living(node):
    """A process of the node's pod: in its pid namespace, which is the tests' own, others may have ended."""
    with node.process([sys.executable, "-c", "input()"]) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("living")
class TestLies:
    """The events file is writable for its whole pod."""

    @pytest.mark.parametrize(
        ("claim", "why"),
        [
            pytest.param({"code": 100}, "returned 100 instead of 719", id="another-code"),
            pytest.param({"gpu": GPU1}, f"was for {GPU1}", id="another-gpu"),
            pytest.param({"at_ns": 1}, "did not happen while the fault was armed", id="before-the-arming"),
            pytest.param({"at_ns": 2**62}, "did not happen while the fault was armed", id="in-the-future"),
        ],
    )
    def test_a_record_that_cannot_be_true_proves_nothing(self, agents, node, claim, why):
        agent = agents.start()
        generation = agent.post("/faults", request(), expect=201)["generation"]
        lie(node, generation=generation, **claim)
        assert agent.get("/faults/f1")["first_faulted"] == []
        assert agent.get("/faults/f1")["first_faulted"] == []
        assert agent.stop()[1].count(why) == 1

    def test_a_plane_that_was_not_asked_for_proves_nothing(self, agents, node):
        agent = agents.start()
        generation = agent.post("/faults", request(planes=["nvml"]), expect=201)["generation"]
        lie(node, generation=generation)
        assert agent.get("/faults/f1")["first_faulted"] == []

    @pytest.mark.parametrize("pid", [1, os.getpid()], ids=["init", "a-process-without-the-file"])
    def test_a_process_that_has_not_mapped_the_file_is_no_host_pid(self, agent, node, pid):
        generation = agent.post("/faults", request(), expect=201)["generation"]
        lie(node, generation=generation, pid=pid)
        (process,) = agent.get("/faults/f1")["processes"]
        assert (process["pid"], process["host_pid"]) == (pid, None)

    def test_rubbish_in_the_file_is_survived(self, agent, node):
        agent.post("/faults", request(), expect=201)
        size = node.events.stat().st_size
        with node.events.open("r+b") as file:
            file.write(b"\xff" * size)
        assert agent.get("/faults/f1")["first_faulted"] == []
        with node.events.open("r+b") as file:
            file.truncate(0)
        assert agent.get("/faults/f1")["state"] == "armed"
        assert agent.post("/faults/f1/disarm", OWNER)["state"] == "disarmed"


@pytest.mark.guarantee("G29")
@needs_shim
def test_a_row_that_names_a_process_of_another_pod_counts_for_neither(agents, node, programs):
    home = node.root / "pods/3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    home.mkdir(parents=True)
    agent, victim = agents.start(), programs(home=home)
    generation = agent.post("/faults", request(), expect=201)["generation"]
    lie(node, generation=generation, pid=victim.process.pid)
    assert agent.get("/faults/f1")["first_faulted"] == []
    assert f"reports pid {victim.process.pid}, which is in {home.name}" in agent.stop()[1]


@pytest.mark.guarantee("G29")
@pytest.mark.usefixtures("living")
def test_what_one_pod_forges_leaves_room_for_the_others(agent, node):
    generation = agent.post("/faults", request(), expect=201)["generation"]
    with node.events.open("r+b", buffering=0) as file:
        file.seek(ctypes.sizeof(EventsHeader))
        file.write(forged_rows(generation, 1, Path("/proc/self/ns/pid").stat().st_ino))
    told = agent.get("/faults/f1")["first_faulted"]
    assert 0 < len(told) <= MOST_CALLS_OF_A_POD < MOST_CALLS


@pytest.mark.usefixtures("living")
@pytest.mark.parametrize("planes", [["cuda"], ["nvml"]], ids=["of nobody", "of a plane that was not armed"])
def test_what_one_pod_forges_is_told_in_few_lines(agents, node, planes):
    """A table of 511 rows, each another lie, again and again."""
    agent = agents.start()
    agent.client.timeout = 20
    generation = agent.post("/faults", request(planes=planes), expect=201)["generation"]
    namespace = 0 if planes == ["cuda"] else Path("/proc/self/ns/pid").stat().st_ino
    for first in (1, 1000):
        with node.events.open("r+b", buffering=0) as file:
            file.seek(ctypes.sizeof(EventsHeader))
            file.write(forged_rows(generation, first, namespace))
        assert agent.get("/faults/f1")["first_faulted"] == []
    log = agent.stop()[1]
    assert 0 < len(log.splitlines()) < 10


@pytest.mark.guarantee("G29")
@pytest.mark.usefixtures("living")
def test_a_row_of_a_pid_namespace_that_its_pod_never_had_counts_for_nobody(agents, node):
    agent = agents.start()
    generation = agent.post("/faults", request(), expect=201)["generation"]
    lie(node, generation=generation, pid_namespace=4026530001)
    assert agent.get("/faults/f1")["first_faulted"] == []
    assert agent.get("/faults/f1")["processes"] == []
    assert agent.stop()[1].count("pid namespace") == 1


def test_a_row_counts_for_no_pod_without_a_process(agent, node):
    generation = agent.post("/faults", request(), expect=201)["generation"]
    lie(node, generation=generation)
    assert agent.get("/faults/f1")["first_faulted"] == []
