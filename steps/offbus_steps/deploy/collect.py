"""Writes evidence about a target into the run's folder: logs, events, manifests; bounded, and without secrets.

    collected/NAMESPACE/NAME/{workload.yaml, events.yaml, POD.yaml, POD.log, POD.previous.log}

Logs are the last lines of the container that holds GPUs (POD.CONTAINER.log of further ones), or else of the pod's main
one. Secrets and ConfigMaps are never read; what manifests hold of secrets is left out of them, and masked in logs and
events (offbus_steps.deploy.redaction), which are therefore read after all manifests. Files are 0600. What cannot be
collected is listed in the result and stops nothing: evidence must not get in the way of an undo. No link is
followed: the folder may have come from elsewhere.

It runs while faults are undone, on the loop that undoes them, and reads what the target's pods wrote. So nothing larger
than LARGEST_OBJECT and LARGEST_FILE is looked at, and other tasks run, and a cancellation comes, between any two steps.
Logs and events of a pod whose manifest was too large are not written: nobody knows which secrets they repeat. Nor are
any where a run with secret inputs is recovered: the process that sent those is gone, and this one does not read them.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio.lowlevel

from offbus.masking import Masking
from offbus.open_run import open_dir
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.deploy.redaction import BOOKKEEPING, Redaction, Steps, TooManyValues
from offbus_steps.port import NotFound, Object, PortError, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.gpus import gpu_containers, main_container
from offbus_steps.workloads.quantity import count
from offbus_steps.workloads.target import Target

__all__ = ["Collected", "collect"]

T = TypeVar("T")
MOST_PODS = 64
LOG_LINES = 5000
LARGEST_FILE = 1 << 20
LARGEST_OBJECT = 1 << 17
"""Characters; a pod has some ten thousand."""
MOST_FIELDS = 8192
"""Values in an object, at any depth; a pod has a few hundred."""
DEEPEST = 64


@dataclass(slots=True)
class Collected:
    """What was written, and what could not be collected."""

    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


async def collect(cluster: Cluster, target: Target, run_dir: Path, secrets: Masking) -> Collected:
    """Write everything, without the run's secrets. Raises only OSError."""
    done = Collected()
    folder = _folder_below(run_dir, "collected", target.namespace, target.name)
    try:
        collector = _Collector(cluster, target, folder, done, Redaction(secrets))
        uid = ""
        try:
            workload = await cluster.port.objects.get(target.ref)
            uid = workload["metadata"]["uid"]
            await collector.manifest("workload.yaml", workload)
        except PortError as err:
            collector.lacks(str(target), err)
        known: list[Object] = []
        for pod in (found := await collector.pods(uid))[:MOST_PODS]:
            manifest = {"apiVersion": "v1", "kind": "Pod", **pod}
            if await collector.manifest(f"{pod['metadata']['name']}.yaml", manifest):
                known.append(pod)
        if len(found) > MOST_PODS:
            done.missing.append(f"{len(found) - MOST_PODS} more pods")
        if secrets.unknown:
            names = ", ".join(sorted(secrets.unknown))
            done.missing.append(
                f"logs and events: only the runner knew the secrets that they may repeat: {names}"
            )
            return done
        for pod in known:
            await collector.logs(pod)
        await collector.events(
            {pod["metadata"]["name"] for pod in (*known, *found[MOST_PODS:])} | {target.name}
        )
    finally:
        os.close(folder)
    return done


def _folder_below(run_dir: Path, *names: str) -> int:
    """A descriptor of a folder below the run's, made where it is missing. No link is followed. Raises OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = open_dir(run_dir)
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
    redaction: Redaction

    async def pods(self, uid: str) -> list[Object]:
        """The pods of the workload with that uid, including terminating and finished ones, without those that a
        kubelet created; none when it is gone."""
        objects, target, owners = self.cluster.port.objects, self.target, self.cluster.log.world.owners
        try:
            found = await objects.list("Pod", namespace=target.namespace, labels=target.selector_text)
            own = await owners.its_pods(objects, target, uid, found)
        except PortError as err:
            self.lacks("pods", err)
            return []
        return sorted(own, key=lambda one: str(one["metadata"]["name"]))

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
        text, more = "events:\n" if ours else "events: []\n", 0
        for one in ours:
            entry = await self._yaml([one]) if len(text) < LARGEST_FILE else ""
            text += entry
            more += not entry
        self._write("events.yaml", text.encode()[:LARGEST_FILE])
        if more:
            self.done.missing.append(f"{more} more events")

    async def _log(self, ref: Ref, container: str, name: str, *, previous: bool) -> None:
        logs = self.cluster.port.objects.logs
        try:
            read = await logs(ref, container=container, previous=previous, tail=LOG_LINES)
            text = await _in_turn(self.redaction.masking(_last_lines(read, LARGEST_FILE)))
        except NotFound:
            return  # it never ran, or its node has deleted it
        except (PortError, TooManyValues) as err:
            self.lacks(name, err)
            return
        self._write(name, text.encode(errors="replace")[-LARGEST_FILE:])

    async def manifest(self, name: str, obj: Mapping[str, Any]) -> bool:
        """Write an object, without its secrets: those are masked in whatever is written from then on.

        Whether it was: not when it is too large.
        """
        text = await self._yaml(obj)
        if text:
            self._write(name, text.encode()[:LARGEST_FILE])
        else:
            self.done.missing.append(f"{name}: it is too large")
        return bool(text)

    async def _yaml(self, obj: Any) -> str:
        """Without secrets; "" for what is too large."""
        import yaml

        await anyio.lowlevel.checkpoint()
        if _is_too_large(obj):
            return ""
        return yaml.safe_dump(await _in_turn(self.redaction.cleaning(obj)), sort_keys=False)

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


async def _in_turn(steps: Steps[T]) -> T:
    """What the steps make; other tasks run between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
        await anyio.lowlevel.checkpoint()


def _last_lines(text: str, most: int) -> str:
    """At most so many characters, from the beginning of a line; of one line that is longer, its beginning."""
    if len(text) <= most:
        return text
    start = text.find("\n", len(text) - most) + 1
    if start in (0, len(text)):
        start = text.rfind("\n", 0, len(text) - most) + 1
    return text[start : start + most]


def _is_too_large(obj: Any) -> bool:
    """Whether it is more than is looked at; known without looking at more."""
    characters, values = 0, 0
    inner = [(obj, 0)]
    while inner:
        one, depth = inner.pop()
        values += 1
        if isinstance(one, Mapping):
            characters += sum(map(len, one))
            one = [value for key, value in one.items() if key not in BOOKKEEPING]
        if isinstance(one, list):
            if depth == DEEPEST or values + len(inner) + len(one) > MOST_FIELDS:
                return True
            inner += [(value, depth + 1) for value in one]
        elif isinstance(one, str):
            characters += len(one)
        if characters > LARGEST_OBJECT:
            return True
    return False
