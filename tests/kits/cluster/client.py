"""What the tests do with a cluster: apply, wait by watch, read; with kubectl, as a person would."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.kits.cluster import lifecycle
from tests.kits.cluster.node import enter
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import Node

__all__ = ["Cluster", "python_pod"]

LIMIT_S = 100
"""A watchdog, not an expectation: what is waited for takes seconds."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster."""

    paths: ClusterPaths

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """What kubectl says; the test fails with its complaint."""
        program = lifecycle.programs(self.paths) / "kubectl"
        done = subprocess.run(
            [program, f"--kubeconfig={self.paths.kubeconfig}", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S + 10,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply them all."""
        self.kubectl(
            "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def get(self, *arguments: str) -> Any:
        """Objects, as they are."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def wait(self, what: str, condition: str, *more: str) -> None:
        """Wait by watch."""
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={LIMIT_S}s", *more)

    def inside(self, node: Node, *command: str) -> str:
        """What a command says inside a node."""
        line = enter(self.paths, node, list(command))
        return subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_S, check=True).stdout


def python_pod(program: str, *, gpus: int = 0, **more: Any) -> dict[str, Any]:
    """A pod's spec that runs this Python with a program; further fields of its container in `container`."""
    volumes, mounts, interpreter = python_mounts()
    extra = more.pop("container", {})
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "Never",
        "command": [interpreter, "-u", "-c", program],
        "volumeMounts": [*mounts, *extra.pop("volumeMounts", [])],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {},
        **extra,
    }
    return {
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [*volumes, *more.pop("volumes", [])],
        **more,
    }
