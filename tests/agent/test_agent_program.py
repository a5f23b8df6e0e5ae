"""The program: what it says and how it ends."""

import re
import socket
import subprocess
import sys

import pytest

from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import request


def run(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "offbus_agent", *words], capture_output=True, text=True, timeout=60, **more
    )


def run_agent(node, *more):
    return subprocess.run(node.arguments(*more), capture_output=True, text=True, timeout=60)


def refused(result, code, words):
    assert result.returncode == code
    assert re.search(words, result.stderr)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_help_shows_examples():
    shown = run("serve", "--help")
    assert shown.returncode == 0
    assert "offbus-agent serve --node node-1 --root nodes/node-1 --uds" in shown.stdout


def test_it_says_where_it_listens_and_ends_cleanly_on_sigterm(agents, node):
    agent = agents.start()
    assert agent.process.stdout.readline() == f"offbus-agent: ready on unix:{node.sock}\n"
    status, stderr = agent.stop()
    assert status == 0
    assert "Traceback" not in stderr


def test_it_listens_on_a_port(agents, node):
    agent = agents.start("--host", "127.0.0.1", "--port", "0")
    address = agent.process.stdout.readline().removeprefix("offbus-agent: ready on http://").strip()
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_it_ends_although_a_long_poll_waits(agents):
    from tests.kits.agent.node_world import request

    agent = agents.start()
    agent.post("/faults", request(planes=["kernel"]), expect=201)
    poll = socket.socket(socket.AF_UNIX)
    poll.connect(str(agents.node.sock))
    poll.sendall(b"GET /faults/f1/events?since=99&wait_s=60 HTTP/1.1\r\nHost: a\r\n\r\n")
    agent.get("/health")
    status, stderr = agent.stop()
    poll.close()
    assert status == 0, stderr


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [
        pytest.param(0o644, "t", "world-readable: run `chmod 0600", id="world-readable"),
        pytest.param(0o600, "\n", "is empty", id="empty"),
        pytest.param(0o600, "a" * 4094 + "\nbc", "is longer than 4096 bytes", id="cut"),
    ],
)
def test_a_token_file_that_cannot_be_used(node, mode, content, words):
    node.token_file.write_text(content)
    node.token_file.chmod(mode)
    refused(run_agent(node, "--uds", str(node.sock)), 2, words)


def test_a_missing_token_file(node):
    node.token_file.unlink()
    refused(run_agent(node, "--uds", str(node.sock)), 2, "cannot read the token file .*: No such file")


def test_an_unknown_xid_on_the_allow_list(node):
    refused(run_agent(node, "--uds", str(node.sock), "--allow-xid", "790"), 2, "XID 790 .* did you mean 79")


def test_a_ready_descriptor_that_is_not_open(node):
    refused(
        run_agent(node, "--uds", str(node.sock), "--ready-fd", "99"),
        2,
        "--ready-fd 99 is not an open descriptor",
    )


def test_a_missing_kernel_log(node):
    node.kmsg.unlink()
    refused(run_agent(node, "--uds", str(node.sock)), 3, "no kernel log at .*kmsg")
    assert not node.kmsg.exists()


def test_a_port_in_use(node):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(
            run_agent(node, "--port", port), 3, f"cannot listen on 127.0.0.1:{port}: .*choose another --port"
        )


def test_a_socket_that_answers_is_not_taken_away(node, agents):
    agents.start()
    refused(run_agent(node, "--uds", str(node.sock)), 3, "another program listens on")


def test_a_socket_that_a_dead_agent_left_is_replaced(node, agents):
    agents.start().stop(9)
    assert node.sock.exists()
    assert agents.start().get("/health")["node"] == "node-1"


def test_a_file_in_place_of_the_socket_is_left_alone(node):
    node.sock.write_text("precious")
    refused(run_agent(node, "--uds", str(node.sock)), 3, "exists and is not a socket")
    assert node.sock.read_text() == "precious"


def test_a_socket_path_that_is_too_long(node):
    refused(run_agent(node, "--uds", str(node.root / ("s" * 108))), 3, "longer than 107 bytes")


def test_a_second_agent_on_the_same_state(node, agents):
    agents.start()
    other = node.root / "other.sock"
    refused(run_agent(node, "--uds", str(other)), 3, "another agent uses")


def test_a_state_folder_that_cannot_be_made(node):
    (node.root / "state").write_text("a file")
    refused(
        run_agent(node, "--uds", str(node.sock), "--state", str(node.root / "state")), 3, "cannot use --state"
    )


def test_the_shim_is_exchanged_by_name_and_never_written_into(agents, node):
    """Processes have the old one mapped."""
    library = node.root / "run/offbus/lib/liboffbus.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"an older build")
    with library.open("rb") as mapped:
        agent = agents.start()
        assert agent.get("/health")["planes"]["cuda"] == {
            "ok": True,
            "path": str(node.ctl),
            "why": "",
            "code": "",
        }
        assert mapped.read() == b"an older build"
    assert library.read_bytes()[:4] == b"\x7fELF"
    inode = library.stat().st_ino
    agent.stop()
    agents.start()
    assert library.stat().st_ino == inode


def test_the_catalogue_is_cheap_to_import():
    """Steps, docs and schemas import it: no third-party module may come along."""
    code = "import sys; import offbus_agent.catalogue.catalogue; print(sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    for heavy in ("pydantic", "starlette", "uvicorn", "click", "asyncio", "httpx"):
        assert f"'{heavy}'" not in loaded.stdout


@pytest.mark.parametrize("name", ["kmsg", "agent.sock"])
def test_only_the_owner_may_use_socket_and_state(agents, node, name):
    agents.start()
    assert node.sock.stat().st_mode & 0o077 == 0
    assert node.state.parent.stat().st_mode & 0o077 == 0
    assert (node.root / name).exists()


def test_a_library_that_was_replaced_is_restored_before_a_fault_is_armed(agents, node):
    library = node.root / "run/offbus/lib/liboffbus.so"
    agent = agents.start()
    ours = library.read_bytes()
    library.write_bytes(b"\x7fELF of somebody else")
    status, error = agent.refused("/faults", request(planes=["cuda"]))
    assert (status, error["code"]) == (500, "plane_failed")
    assert "restored" in error["detail"]
    assert library.read_bytes() == ours
    agent.post("/faults", request("f2", planes=["cuda"]), expect=201)


@pytest.mark.parametrize("content", [b"", b"x" * 4096, b"x" * 100_000], ids=["cut", "no page", "too long"])
def test_a_damaged_page_is_replaced_at_the_start(agents, node, content):
    node.ctl.parent.mkdir(parents=True)
    node.ctl.write_bytes(content)
    agent = agents.start()
    agent.post("/faults", request(planes=["cuda"]), expect=201)
    assert ControlPage.create(node.ctl).read().armed
    assert "replaced by a new page" in agent.stop()[1]
