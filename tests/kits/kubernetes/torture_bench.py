"""The place of the cluster torture: a target that stays, drills that change it, and a picture to compare.

The drill loads the shim into the target by patch, writes an XID line on its node, and takes both back. Its runner is
always killed, and never returns: what it left is finished by the reaper of deploy/base, from what the cluster kept.
The picture is taken with kubectl and off the agents, not with offbus' own fingerprint.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import yaml

from offbus_steps.kubernetes.port import open_port
from offbus_steps.kubernetes.rest.connection import Login
from tests.kits import REPOSITORY
from tests.kits.cluster.client import Cluster
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts

__all__ = ["LEASE_S", "NAMESPACE", "Bench", "Struck"]

TORTURE = REPOSITORY / "tests/kits/torture"
NAMESPACE = "drill-torture"
SYSTEM = "offbus-system"
LEASE_S = 5
LIMIT_S = 240
"""A watchdog: a whole drill takes some twenty seconds, what the reaper does as long again."""
PATIENCE_S = 90
"""For what the platform itself does after the last undo: a rollout's last pod, a node that is heard of again."""
SLEEP = "import signal; signal.pause()"


@dataclass(frozen=True)
class Struck:
    """A drill that was killed."""

    records: int
    code: int
    output: str
    state: Path
    """Its XDG_STATE_HOME."""


@dataclass
class Bench:
    """One cluster, one target, one folder."""

    cluster: Cluster
    folder: Path

    def build(self) -> None:
        """Compile the tracer, make the namespace and the target, let the reaper into the namespace."""
        command = ["cc", "-O2", "-o", str(self.folder / "tracer"), str(TORTURE / "tracer.c")]
        subprocess.run(command, check=True, timeout=60)
        meta = {"name": NAMESPACE}
        subject = {"kind": "ServiceAccount", "name": "offbus-reaper", "namespace": SYSTEM}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "offbus-reaper-drill"}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        self.cluster.apply(
            target(),
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "offbus-reaper-drill", "namespace": NAMESPACE},
                "roleRef": role,
                "subjects": [subject],
            },
        )
        self.cluster.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=90s")

    def remove(self) -> None:
        """The namespace with all that is in it."""
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s")

    def scenario(self, *, waits: bool) -> Path:
        """With `waits` it stands after the injection, until it is killed."""
        hold = {"id": "stands", "uses": "await_drain", "timeout": "4m"}
        return self._scenario(
            f"torture-{'waits' if waits else 'runs'}",
            {"id": "prepare", "uses": "prepare_cuda"},
            {"id": "inject", "uses": "inject_xid", "with": {"xid": 94}},
            *([hold] if waits else []),
            {"id": "heal", "uses": "cleanup", "with": {"steps": ["inject", "prepare"]}},
        )

    def killed_in_state(self, xid: int, text: str, *, lease_s: int = LEASE_S) -> Struck:
        """Play a drill that leaves the responder to itself, and kill it after the first record with that text."""
        scenario = self._scenario(
            "torture-responder",
            {"id": "inject", "uses": "inject_xid", "with": {"xid": xid, "patience": "4s"}},
            {"id": "stands", "uses": "hold", "with": {"expr": "1 == 1", "for": "3m"}},
            lease_s=lease_s,
            real_remediation="allow",  # the responder of deploy/ reboots nothing; a janitor that is `manual` is nobody
        )
        return self._traced(scenario, "--containing", text, "--at", "1", "--how", "after")

    def _scenario(self, name: str, *steps: dict[str, Any], lease_s: int = LEASE_S, **guards: Any) -> Path:
        existing = {"kind": "Deployment", "name": "llm", "namespace": NAMESPACE}
        deploy = {"id": "deploy", "uses": "deploy", "with": {"existing": existing, "port": 8080}}
        environment = {"uses": "kubernetes", "lease_s": lease_s}
        drill = {
            "offbus": 1,
            "name": "torture",
            "environment": environment,
            "guards": {"namespaces": [NAMESPACE], **guards},
            "steps": [deploy, *steps],
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(drill))
        return path

    def killed_after(self, record: int) -> Struck:
        """Play the drill on a machine of its own, and kill it right after a record was written; 0: never."""
        words = ["--at", str(record), "--how", "after"] if record else []
        return self._traced(self.scenario(waits=False), *words)

    def killed_at(self, text: str) -> Struck:
        """Play the drill that waits, and kill it after the first record with that text."""
        words = ["--containing", text, "--at", "1", "--how", "after"]
        return self._traced(self.scenario(waits=True), *words)

    def finished(self) -> None:
        """Wait until nobody has the cluster any more: the reaper has finished, or there was nothing to finish."""
        self.cluster.kubectl(
            "wait", "lease/offbus", "-n", SYSTEM, "--for=delete", f"--timeout={LIMIT_S // 3}s"
        )

    def reports(self) -> dict[str, str]:
        """Run -> what the reaper says of it."""
        found = self.cluster.get("configmaps", "-n", SYSTEM, "-l", "offbus.dev/report")["items"]
        return {one["metadata"]["labels"]["offbus.dev/report"]: one["data"]["summary"] for one in found}

    def picture(self) -> dict[str, Any]:
        """What the drill may have changed."""
        nodes = {one["metadata"]["name"]: _node(one) for one in self.cluster.get("nodes")["items"]}
        deployment = self.cluster.get("deployment", "llm", "-n", NAMESPACE)
        pods = self.cluster.get("pods", "-n", NAMESPACE)["items"]
        kept = self.cluster.get("leases,configmaps", "-n", SYSTEM)["items"]
        return {
            "nodes": nodes,
            "target": deployment["spec"],
            "pods": sorted(_pod(one) for one in pods),
            "kept": sorted(
                one["metadata"]["name"]
                for one in kept
                if not one["metadata"]["name"].startswith("offbus-report-")
            ),
            "faults": anyio.run(self._faults),
        }

    def faulted(self) -> list[str]:
        """The nodes that have a fault now."""
        return [node for node, faults in anyio.run(self._faults).items() if faults]

    def settled(self, before: dict[str, Any]) -> list[str]:
        """What differs from before, once the platform has had the time for what it does by itself."""
        deadline = anyio.run(_now) + PATIENCE_S
        while (now := self.picture()) != before and anyio.run(_now) < deadline:
            anyio.run(anyio.sleep, 1.0)  # of many kinds at once: no one watch shows it
        return [f"{key}: was {before[key]}, is {now[key]}" for key in before if before[key] != now[key]]

    async def _faults(self) -> dict[str, Any]:
        async with open_port(Login(str(self.cluster.paths.kubeconfig))) as port:
            found = {}
            for node in await port.agents.by_node():
                reply = await port.agents.request(node, "GET", "/faults")
                found[node] = reply.json()["faults"]
            return found

    def _traced(self, scenario: Path, *words: str) -> Struck:
        with self._report() as (writing, report):
            argv = [str(self.folder / "tracer"), "--report", str(writing), *words, "--"]
            state = self.folder / f"state-{os.urandom(4).hex()}"
            done = subprocess.run(
                [*argv, sys.executable, "-m", "offbus", "run", str(scenario)],
                env={
                    **os.environ,
                    "XDG_STATE_HOME": str(state),
                    "KUBECONFIG": str(self.cluster.paths.kubeconfig),
                },
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
            )
            os.close(writing)
            ended = next(line.split() for line in report if line.startswith("ended"))
        output = (done.stdout + done.stderr).decode(errors="replace")
        return Struck(int(ended[2]), int(ended[1]), output, state)

    @contextmanager
    def _report(self) -> Iterator[tuple[int, Any]]:
        reading, writing = os.pipe()
        with os.fdopen(reading) as report:
            yield writing, report


async def _now() -> float:
    return anyio.current_time()


def target() -> dict[str, Any]:
    """One pod with one GPU, that does nothing but live."""
    volumes, mounts, interpreter = python_mounts()
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "Never",
        "command": [interpreter, "-c", SLEEP],
        "volumeMounts": mounts,
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    pod = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    labels = {"app": "llm"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    meta = {"name": "llm", "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _node(node: dict[str, Any]) -> dict[str, Any]:
    spec, meta = node["spec"], node["metadata"]
    conditions = node["status"]["conditions"]
    return {
        "cordoned": bool(spec.get("unschedulable")),
        "taints": sorted(one["key"] for one in spec.get("taints") or ()),
        "labels": meta["labels"],
        "annotations": sorted(meta.get("annotations") or {}),
        "unhealthy": sorted(one["type"] for one in conditions if one["reason"].endswith("IsNotHealthy")),
        "ready": [one["status"] for one in conditions if one["type"] == "Ready"],
    }


def _pod(pod: dict[str, Any]) -> list[Any]:
    env = pod["spec"]["containers"][0].get("env") or ()
    ready = [one["status"] for one in pod["status"].get("conditions") or () if one["type"] == "Ready"]
    return [pod["metadata"]["labels"]["app"], json.dumps(list(env)), ready]
