"""What the tests of `local` share: a quick configuration, small manifests, a pipe that programs in pods write to."""

import os
from pathlib import Path
from typing import Any

import anyio

from offbus_sandbox.config import Backoff, SandboxConfig
from offbus_steps.port import Object

QUICK = SandboxConfig(
    nodes=2,
    gpus_per_node=1,
    responder=None,
    agents=False,
    backoff=Backoff(base_s=0.2, cap_s=0.4),
    probe_period_s=0.05,
)


class Pipe:
    """What programs in pods tell the test, a line at a time: an event instead of looking at logs again and again."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDWR)  # also a writer, so that it never ends between two programs
        self._text = b""

    async def heard(self) -> str:
        """The next line, without its end."""
        with anyio.fail_after(60):
            while b"\n" not in self._text:
                await anyio.wait_readable(self._fd)
                self._text += os.read(self._fd, 4096)
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def pod(name: str, command: list[str], **spec: Any) -> Object:
    """A pod with one container."""
    container = {"name": "main", "command": command, **spec.pop("container", {})}
    meta = {"name": name, "namespace": "test", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


SLEEP = ["python3", "-c", "import signal; signal.pause()"]
"""Lives until it is told to end."""


def deployment(name: str, replicas: int, command: list[str], *, gpus: int = 0, **spec: Any) -> Object:
    """A Deployment of pods with one container."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    container = {"name": "main", "command": command, "resources": resources}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    meta = {"name": name, "namespace": "test"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": body}
