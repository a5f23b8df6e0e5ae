"""What a process calls itself, where it lives and what it maps gains it nothing, and ends no agent.

Names are set with prctl(2), as an unprivileged user can. /proc escapes a line feed in them and nothing else, so every
other character that Python takes for the end of a line must be one of many in the middle of a line.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus_agent.faults import proc_files, processes
from offbus_agent.faults.hidden import OwnLooks
from offbus_agent.faults.processes import census
from tests.kits.agent.node_world import OWNER, POD, Node, RunningAgent
from tests.kits.agent.node_world import request as fault_request

NAMED = """
import ctypes, mmap, sys
name, page = sys.argv[1].encode("latin-1").decode("unicode_escape").encode("utf-8"), sys.argv[2]
assert ctypes.CDLL(None).prctl(15, name, 0, 0, 0) == 0  # PR_SET_NAME
with open(page, "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    print("ready", flush=True)
    sys.stdin.read()
"""
"""Maps the control page for reading, as the shim does."""
NAMES = [
    "\\x0cNSpid:\\tx",
    "\\x0bNSpid:\\tx",
    "\\x1cNSpid:\\t-1",
    "\\x1dNSpid:\\t",
    "\\x1eNSpid: 1 2",
    "\\u2028NSpid:\\tx",
    "\\u0085NSpid:\\tx",
    "\\rNSpid:\\tx",
    "\\nNSpid:\\tx",
    "NSpid:\\tx",
]


@pytest.fixture(params=NAMES)
def named(node: Node, agent: RunningAgent, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process of that name which has the page mapped."""
    command = [sys.executable, "-c", NAMED, request.param, str(node.ctl)]
    with node.process(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def mapping(node: Node) -> set[int | None]:
    """The processes of the node's pod that have the page mapped."""
    return {known.host_pid for known in census(OwnLooks(node.ctl), node.root, {POD}).found.values()}


@pytest.mark.usefixtures("named")
class TestAProcessWithAHostileName:
    def test_keeps_no_fault_from_being_armed_and_ends_no_agent(self, agent: RunningAgent) -> None:
        agent.post("/faults", fault_request("f1", planes=["cuda"]), expect=201)
        agent.post("/faults/f1/recover", OWNER)
        assert agent.process.poll() is None

    def test_keeps_no_pod_from_being_looked_at(self, agent: RunningAgent) -> None:
        pod = "11111111-2222-3333-4444-555555555555"
        assert agent.get(f"/pods/{pod}/preload") == {"processes": []}


def test_a_mapped_file_whose_name_looks_like_a_mapping_of_the_page_is_none(
    node: Node, agent: RunningAgent, tmp_path: Path
) -> None:
    """A path may hold the page's device, inode and permissions: they count in their own columns alone."""
    found = node.ctl.stat()
    device = f"{found.st_dev >> 8 & 0xFFF:02x}:{found.st_dev & 0xFF:02x}"
    liar = tmp_path / f"x r--s 00000000 {device} {found.st_ino} y"
    liar.write_bytes(bytes(4096))
    command = [sys.executable, "-c", NAMED, "liar", str(liar)]
    with node.process(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            assert process.pid not in mapping(node)
        finally:
            process.kill()


def test_the_page_is_mapped_at_all(node: Node, agent: RunningAgent) -> None:
    """The tests above would pass, too, if nothing were ever found."""
    command = [sys.executable, "-c", NAMED, "honest", str(node.ctl)]
    with node.process(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.pid in mapping(node)
        process.kill()


@pytest.fixture
def process_table(tmp_path: Path) -> Iterator[Path]:
    """A /proc of one process, 7: it may be in any cgroup."""
    real, proc_files.PROC = proc_files.PROC, tmp_path
    (tmp_path / "7").mkdir()
    (tmp_path / "7/environ").touch()
    yield tmp_path
    proc_files.PROC = real


@pytest.mark.parametrize(
    ("cgroup", "pod"),
    [
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD.replace('-', '_')}.slice/x",
            POD,
        ),
        (f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD.replace('-', '_')}.slice/x", POD),
        (f"/kubepods/besteffort/pod{POD}/x", POD),
        (f"/../../pod{POD}/x", POD),
        (f"/user.slice/user-1000.slice/user@1000.service/pod{POD}", None),
        (f"/../../../user.slice/user-1000.slice/user@1000.service/app.slice/kubepods-pod{POD}.slice", None),
    ],
)
def test_a_cgroup_that_a_user_of_the_node_made_is_no_pod(
    process_table: Path, node: Node, cgroup: str, pod: str | None
) -> None:
    """systemd gives each user a part of the cgroups, in which names are free."""
    (process_table / "7/cgroup").write_text(f"0::{cgroup}\n")
    assert processes.pod_uid(7, node.root) == pod


@pytest.mark.parametrize(
    "name", ["x\x1b]0;owned\x07\n2026-11-30 INFO offbus_agent: fault q1 is disarmed", f"{POD}\n", POD.upper()]
)
def test_a_home_that_is_not_called_as_a_pods_is_none(process_table: Path, node: Node, name: str) -> None:
    (process_table / "7/environ").write_text(f"HOME={node.root}/pods/{name}\0")
    assert processes.pod_uid(7, node.root) is None


def test_a_home_says_nothing_on_a_real_node(process_table: Path, tmp_path: Path) -> None:
    (process_table / "7/environ").write_text(f"HOME={tmp_path}/pods/{POD}\0")
    assert processes.pod_uid(7, tmp_path) is None  # there is no gpus.json
