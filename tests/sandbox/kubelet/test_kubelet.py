"""The kubelet: pods are real processes, and their status tells the truth about them."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.table import Process, processes
from offbus_steps.port import Object, Ref
from offbus_steps.testing.conformance.waiting import gone, until
from offbus_steps.workloads.gpus import held_gpus
from offbus_steps.workloads.pods import is_ready
from tests.kits.sandbox.local_cluster import SLEEP, Pipe, pod

pytestmark = pytest.mark.anyio

Program = Callable[[str], list[str]]
REF = Ref("Pod", "p", "test")
PROBE = {"tcpSocket": {"port": 8081}, "failureThreshold": 600}


def main_status(pod: Object) -> dict[str, Any]:
    """The status of a pod's only container."""
    found: dict[str, Any] = pod["status"].get("containerStatuses", [{"state": {}, "restartCount": 0}])[0]
    return found


def running_processes(layout: Layout, word: str) -> list[Process]:
    """Processes of the sandbox with `word` in their command line."""
    return [
        p for p in processes() if word in p.command() and p.environment().get("OFFBUS_SANDBOX") == layout.id
    ]


async def test_a_container_sees_its_node_its_pod_and_nothing_of_the_user(
    port: LocalPort, layout: Layout, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = program("import json, os\nprint(json.dumps(dict(os.environ)), flush=True)")
    env = [{"name": "PAGE", "value": "$(OFFBUS_NODE_ROOT)/run/offbus"}]
    await port.objects.create(pod("p", command, restartPolicy="Never", container={"env": env}))
    done = await until(port, REF, lambda p: p["status"]["phase"] == "Succeeded")
    seen = json.loads(await port.objects.logs(REF))
    node = done["spec"]["nodeName"]
    assert seen["OFFBUS_NODE_NAME"] == node
    assert seen["PAGE"] == f"{layout.node(node)}/run/offbus"
    assert seen["POD_IP"] == done["status"]["podIP"]
    assert seen["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "XDG_STATE_HOME" not in seen
    assert "USER" not in seen


async def test_a_crashing_container_backs_off_and_keeps_its_last_words(
    port: LocalPort, program: Program
) -> None:
    await port.objects.create(pod("p", program("print('last words', flush=True)\nraise SystemExit(3)")))
    looping = await until(port, REF, lambda p: main_status(p)["restartCount"] >= 2 and waits(p))
    status = main_status(looping)
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert not is_ready(looping)
    assert "last words" in await port.objects.logs(REF, previous=True)


def waits(pod: Object) -> bool:
    """The pod's container waits for its next start."""
    return "waiting" in main_status(pod)["state"]


async def test_a_killed_container_is_restarted_and_says_by_what(port: LocalPort, layout: Layout) -> None:
    await port.objects.create(pod("p", [*SLEEP, "victim"]))
    await until(port, REF, is_ready)
    (victim,) = running_processes(layout, "victim")
    os.kill(victim.id.pid, signal.SIGKILL)
    again = await until(port, REF, lambda p: main_status(p)["restartCount"] == 1 and is_ready(p))
    ended = main_status(again)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["signal"], ended["reason"]) == (137, 9, "Error")


async def test_a_pod_gets_sigterm_first(
    port: LocalPort, program: Program, pipe: Pipe, tmp_path: Path
) -> None:
    mark = tmp_path / "terminated"
    source = f"""
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(mark)!r}).touch(), sys.exit(0)))
pathlib.Path({str(pipe.path)!r}).write_text("up\\n")
signal.pause()
"""
    await port.objects.create(pod("p", program(source)))
    assert await pipe.heard() == "up"
    await port.objects.delete(REF)
    await gone(port, REF)
    assert mark.exists()


async def test_a_stubborn_pod_is_killed_with_all_its_descendants(
    port: LocalPort, layout: Layout, program: Program, pipe: Pipe
) -> None:
    source = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
tell = "import signal; open({str(pipe.path)!r}, 'w').write('up\\\\n'); signal.pause()"
child = [sys.executable, "-c", tell, "unyielding"]
subprocess.Popen(child)
subprocess.Popen([*child, "daemon"], start_new_session=True)
signal.pause()
"""
    await port.objects.create(pod("p", program(source)))
    assert [await pipe.heard(), await pipe.heard()] == ["up", "up"]
    assert len(running_processes(layout, "unyielding")) == 2
    await port.objects.delete(REF, grace_seconds=1)
    await gone(port, REF)
    assert running_processes(layout, "unyielding") == []


async def test_a_grace_that_is_taken_away_ends_the_pod_at_once(
    port: LocalPort, program: Program, pipe: Pipe
) -> None:
    ignore = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"
    source = f"{ignore}\nopen({str(pipe.path)!r}, 'w').write('up\\n')\nsignal.pause()"
    await port.objects.create(pod("p", program(source), terminationGracePeriodSeconds=3600))
    assert await pipe.heard() == "up"
    await port.objects.delete(REF)
    await until(port, REF, lambda p: "deletionTimestamp" in p["metadata"])
    await port.objects.delete(REF, grace_seconds=0)
    await gone(port, REF)
    assert await port.strays() == []


@pytest.mark.parametrize(
    ("container", "reason", "words"),
    [
        ({"command": ["no-such-program"]}, "RunContainerError", "no-such-program"),
        ({"command": None, "args": None}, "CreateContainerConfigError", "no command"),
        (
            {"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            "CreateContainerConfigError",
            "secretKeyRef",
        ),
    ],
    ids=["program", "command", "secret"],
)
async def test_a_container_that_cannot_start_says_why(
    port: LocalPort, container: dict[str, Any], reason: str, words: str
) -> None:
    await port.objects.create(pod("p", SLEEP, container=container))
    refused = await until(
        port, REF, lambda p: main_status(p).get("lastState", {}).get("terminated", {}).get("reason") == reason
    )
    assert words in main_status(refused)["lastState"]["terminated"]["message"]


async def test_init_containers_run_first_and_in_order(port: LocalPort, pipe: Pipe, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    def step(name: str, text: str) -> dict[str, Any]:
        return {"name": name, "command": ["python3", "-c", f"open({str(trace)!r}, 'a').write('{text}')"]}

    main = f"open({str(pipe.path)!r}, 'w').write(open({str(trace)!r}).read()); import signal; signal.pause()"
    await port.objects.create(
        pod("p", ["python3", "-c", main], initContainers=[step("one", "one "), step("two", "two\\n")])
    )
    assert await pipe.heard() == "one two"


async def test_a_sidecar_starts_before_the_containers_and_ends_after_them(
    port: LocalPort, program: Program, pipe: Pipe
) -> None:
    """A native sidecar: an init container with restartPolicy Always (Kubernetes, "Sidecar Containers")."""
    say = f"open({str(pipe.path)!r}, 'w').write"
    ends = f"signal.signal(signal.SIGTERM, lambda *_: {say}('sidecar ends\\n') and sys.exit(0))"
    serve = "served = socket.create_server((os.environ['POD_IP'], 8081))\nwhile True: signal.pause()"
    sidecar = program(f"import os, signal, socket, sys\n{ends}\n{say}('sidecar\\n')\n{serve}")
    then, main = program(f"{say}('then\\n')"), program(f"{say}('main\\n')")
    inits = [
        {"name": "beside", "command": sidecar, "restartPolicy": "Always", "startupProbe": PROBE},
        {"name": "then", "command": then},
    ]
    await port.objects.create(pod("p", main, restartPolicy="Never", initContainers=inits))
    assert [await pipe.heard() for _ in range(4)] == ["sidecar", "then", "main", "sidecar ends"]
    done = await until(port, REF, lambda p: p["status"]["phase"] == "Succeeded")
    assert [one["name"] for one in done["status"]["initContainerStatuses"]] == ["beside", "then"]


async def test_a_sidecar_that_fails_restarts_and_keeps_the_pod_from_being_ready(
    port: LocalPort, program: Program
) -> None:
    fails = {"name": "beside", "command": program("raise SystemExit(3)"), "restartPolicy": "Always"}
    await port.objects.create(pod("p", SLEEP, initContainers=[fails]))

    def beside(one: Object) -> dict[str, Any]:
        found: dict[str, Any] = one["status"].get("initContainerStatuses", [{"restartCount": 0}])[0]
        return found

    seen = await until(port, REF, lambda p: beside(p)["restartCount"] >= 1)
    assert main_status(seen)["state"].get("running")
    waiting = await until(port, REF, lambda p: "waiting" in beside(p)["state"])
    assert waiting["status"]["phase"] == "Running"
    assert not is_ready(waiting)
    assert beside(waiting)["lastState"]["terminated"]["exitCode"] == 3


async def test_readiness_follows_the_probe(port: LocalPort, tmp_path: Path) -> None:
    serve = ["python3", "-m", "http.server", "8080", "--bind", "$(POD_IP)", "--directory", str(tmp_path)]
    probe = {"httpGet": {"path": "/healthy", "port": 8080}, "failureThreshold": 1}
    await port.objects.create(pod("p", serve, container={"readinessProbe": probe}))
    await until(port, REF, lambda p: p["status"]["phase"] == "Running" and not is_ready(p))
    (tmp_path / "healthy").touch()
    await until(port, REF, is_ready)
    (tmp_path / "healthy").unlink()
    unready = await until(port, REF, lambda p: not is_ready(p))
    assert main_status(unready)["restartCount"] == 0


async def test_a_failing_liveness_probe_restarts_the_container(port: LocalPort, tmp_path: Path) -> None:
    serve = ["python3", "-m", "http.server", "8080", "--bind", "$(POD_IP)", "--directory", str(tmp_path)]
    get = {"httpGet": {"path": "/live", "port": 8080}}
    (tmp_path / "live").touch()
    probes = {
        "startupProbe": {**get, "failureThreshold": 600},
        "livenessProbe": {**get, "failureThreshold": 1},
    }
    await port.objects.create(pod("p", serve, container=probes))
    await until(port, REF, is_ready)
    (tmp_path / "live").unlink()
    killed = await until(port, REF, lambda p: main_status(p)["restartCount"] == 1)
    (tmp_path / "live").touch()
    assert main_status(killed)["lastState"]["terminated"]["signal"] == 9


class TestGpus:
    @pytest.fixture
    def config(self, config: SandboxConfig) -> SandboxConfig:
        return config.model_copy(update={"nodes": 1, "gpus_per_node": 2})

    async def test_a_pod_sees_the_gpus_that_it_holds_and_no_others(self, port: LocalPort, pipe: Pipe) -> None:
        visible = f"open({str(pipe.path)!r}, 'w').write(os.environ['NVIDIA_VISIBLE_DEVICES'] + '\\n')"
        command = ["python3", "-c", f"import os, signal; {visible}; signal.pause()"]
        gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        seen = set()
        for name in ("a", "b"):
            await port.objects.create(pod(name, command, container=gpu))
            visible_gpu = await pipe.heard()
            made = await until(port, Ref("Pod", name, "test"), is_ready)
            assert held_gpus(made) == (visible_gpu,)
            seen.add(visible_gpu)
        assert len(seen) == 2
        await self.another_waits(port)

    async def test_a_sidecar_has_gpus_of_its_own(self, port: LocalPort, pipe: Pipe) -> None:
        gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}

        def says(name: str) -> list[str]:
            line = f"'{name} ' + os.environ['NVIDIA_VISIBLE_DEVICES'] + '\\n'"
            write = f"open({str(pipe.path)!r}, 'w').write({line})"
            return ["python3", "-c", f"import os, signal; {write}; signal.pause()"]

        check = {"name": "check", "command": ["true"], **gpu}
        engine = {"name": "engine", "command": says("engine"), "restartPolicy": "Always", **gpu}
        made = pod("p", says("main"), container=gpu, initContainers=[check, engine])
        await port.objects.create(made)
        heard = dict(line.split() for line in [await pipe.heard(), await pipe.heard()])
        ready = await until(port, REF, is_ready)
        assert set(held_gpus(ready)) == set(heard.values())
        assert len(set(heard.values())) == 2
        (status,) = (one for one in ready["status"]["initContainerStatuses"] if one["name"] == "engine")
        assert status["allocatedResourcesStatus"][0]["resources"][0]["resourceID"] == heard["engine"]

    async def another_waits(self, port: LocalPort) -> None:
        gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        await port.objects.create(pod("c", SLEEP, container=gpu))
        pending = await until(port, Ref("Pod", "c", "test"), lambda p: bool(p["status"].get("conditions")))
        condition = pending["status"]["conditions"][0]
        assert condition["reason"] == "Unschedulable"
        assert condition["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        await port.objects.delete(Ref("Pod", "a", "test"), grace_seconds=1)
        await until(port, Ref("Pod", "c", "test"), is_ready)
