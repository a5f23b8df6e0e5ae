"""Writes evidence about a target into the run's folder: logs, events, manifests; bounded, and without secrets.

    collected/NAMESPACE/NAME/{workload.yaml, events.yaml, POD.yaml, POD.log, POD.previous.log}

Logs are the last lines of the container that holds GPUs (POD.CONTAINER.log of further ones), or else of the pod's main
one. Secrets and ConfigMaps are never read; what manifests hold of secrets is left out of them, and masked in logs and
events (offbus_steps.deploy.redaction), which are therefore read after all manifests. Files are 0600. What cannot be
collected is listed in the result and stops nothing: evidence must not get in the way of an undo. No link is
followed: the folder may have come from elsewhere.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.deploy.redaction import Redaction, TooManyValues
from offbus_steps.port import NotFound, Object, PortError, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.gpus import gpu_containers, main_container
from offbus_steps.workloads.quantity import count
from offbus_steps.workloads.target import Target

__all__ = ["Collected", "collect"]

MOST_PODS = 64
LOG_LINES = 5000
LARGEST_FILE = 1 << 20


@dataclass(slots=True)
class Collected:
    """What was written, and what could not be collected."""

    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


async def collect(cluster: Cluster, target: Target, run_dir: Path) -> Collected:
    """Write everything. Raises only OSError."""
    done = Collected()
    folder = _folder_below(run_dir, "collected", target.namespace, target.name)
    try:
        collector = _Collector(cluster, target, folder, done)
        try:
            collector.manifest("workload.yaml", await cluster.port.objects.get(target.ref))
        except PortError as err:
            collector.lacks(str(target), err)
        for pod in (found := await collector.pods())[:MOST_PODS]:
            manifest = {"apiVersion": "v1", "kind": "Pod", **pod}
            collector.manifest(f"{pod['metadata']['name']}.yaml", manifest)
        for pod in found[:MOST_PODS]:
            await collector.logs(pod)
        if len(found) > MOST_PODS:
            done.missing.append(f"{len(found) - MOST_PODS} more pods")
        await collector.events({pod["metadata"]["name"] for pod in found} | {target.name})
    finally:
        os.close(folder)
    return done


def _folder_below(run_dir: Path, *names: str) -> int:
    """A descriptor of a folder below the run's, made where it is missing. No link is followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(run_dir, flags)
    for name in names:
        try:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
            inner = os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder


@dataclass(frozen=True, slots=True)
class _Collector:
    """One target's folder."""

    cluster: Cluster
    target: Target
    folder: int
    """Its descriptor."""
    done: Collected
    redaction: Redaction = field(default_factory=Redaction)

    async def pods(self) -> list[Object]:
        """Its pods, including terminating and finished ones."""
        try:
            found = await self.cluster.port.objects.list(
                "Pod", namespace=self.target.namespace, labels=self.target.selector_text
            )
        except PortError as err:
            self.lacks("pods", err)
            return []
        return sorted(found.items, key=lambda one: str(one["metadata"]["name"]))

    async def logs(self, pod: Object) -> None:
        """Its logs, including the log before the last restart."""
        ref = Ref("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        main = main_container(pod)
        engines = [one["name"] for _, one in gpu_containers(pod["spec"])] or [main]
        restarts = {one["name"]: count(one, "restartCount", 0) for one in pods.statuses(pod)}
        for container in engines:
            stem = ref.name if container == main else f"{ref.name}.{container}"
            await self._log(ref, container, f"{stem}.log", previous=False)
            if restarts.get(container):
                await self._log(ref, container, f"{stem}.previous.log", previous=True)

    async def events(self, names: set[str]) -> None:
        """Events of the workload and its pods."""
        try:
            listed = (await self.cluster.port.objects.list("Event", namespace=self.target.namespace)).items
        except PortError as err:
            self.lacks("events", err)
            return
        ours = [one for one in listed if (one.get("involvedObject") or {}).get("name") in names]
        self.manifest("events.yaml", {"events": ours})

    async def _log(self, ref: Ref, container: str, name: str, *, previous: bool) -> None:
        logs = self.cluster.port.objects.logs
        try:
            text = self.redaction.text(
                await logs(ref, container=container, previous=previous, tail=LOG_LINES)
            )
        except NotFound:
            return  # it never ran, or its node has deleted it
        except (PortError, TooManyValues) as err:
            self.lacks(name, err)
            return
        self._write(name, text.encode(errors="replace")[-LARGEST_FILE:])

    def manifest(self, name: str, obj: Mapping[str, Any]) -> None:
        """Write an object, without its secrets: those are masked in whatever is written from then on."""
        import yaml

        self._write(name, yaml.safe_dump(self.redaction.object(obj), sort_keys=False).encode()[:LARGEST_FILE])

    def _write(self, name: str, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        if "/" in name:
            raise OSError(errno.EINVAL, "it is no name of a file", name)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.folder)  # of an earlier try; or a link to another file
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=self.folder), "wb") as file:
            file.write(content)
        self.done.files.append(name)

    def lacks(self, what: str, err: Exception) -> None:
        """Something could not be collected; it goes on without."""
        self.done.missing.append(f"{what}: {getattr(err, 'message', err)}")
