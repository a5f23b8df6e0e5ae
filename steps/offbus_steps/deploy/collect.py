"""Writes evidence about a target into the run's folder: logs, events, manifests; bounded, and without secrets.

    collected/NAMESPACE/NAME/{workload.yaml, events.yaml, POD.yaml, POD.log, POD.previous.log}

Logs are the last lines of the container that holds GPUs (POD.CONTAINER.log of further ones), or else of the pod's main
one, as it printed them. Secrets and ConfigMaps are never read. Plain
values in manifests whose name sounds like a secret are left out. Files are 0600. What cannot be collected is listed in
the result and stops nothing: evidence must not get in the way of an undo.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import NotFound, Object, PortError, Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.gpus import gpu_containers, main_container
from offbus_steps.workloads.quantity import count
from offbus_steps.workloads.target import Target

__all__ = ["Collected", "cleaned", "collect"]

MOST_PODS = 64
LOG_LINES = 5000
LARGEST_FILE = 1 << 20
LEFT_OUT = "(left out by offbus)"
SECRETIVE = re.compile(r"token|secret|passw|credential|api_?key|private", re.IGNORECASE)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(slots=True)
class Collected:
    """What was written, and what could not be collected."""

    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


async def collect(cluster: Cluster, target: Target, run_dir: Path) -> Collected:
    """Write everything. Raises only OSError."""
    folder = run_dir / "collected" / target.namespace / target.name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    done = Collected()
    collector = _Collector(cluster, target, folder, done)
    await collector.workload()
    for pod in (found := await collector.pods())[:MOST_PODS]:
        await collector.pod(pod)
    if len(found) > MOST_PODS:
        done.missing.append(f"{len(found) - MOST_PODS} more pods")
    await collector.events({pod["metadata"]["name"] for pod in found} | {target.name})
    return done


@dataclass(frozen=True, slots=True)
class _Collector:
    """One target's folder."""

    cluster: Cluster
    target: Target
    folder: Path
    done: Collected

    async def workload(self) -> None:
        """Its manifest."""
        try:
            self._manifest("workload.yaml", await self.cluster.port.objects.get(self.target.ref))
        except PortError as err:
            self._lacks(str(self.target), err)

    async def pods(self) -> list[Object]:
        """Its pods, including terminating and finished ones."""
        try:
            found = await self.cluster.port.objects.list(
                "Pod", namespace=self.target.namespace, labels=self.target.selector_text
            )
        except PortError as err:
            self._lacks("pods", err)
            return []
        return sorted(found.items, key=lambda one: str(one["metadata"]["name"]))

    async def pod(self, pod: Object) -> None:
        """Its manifest and its logs, including the log before the last restart."""
        ref = Ref("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        self._manifest(f"{ref.name}.yaml", {"apiVersion": "v1", "kind": "Pod", **pod})
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
            self._lacks("events", err)
            return
        ours = [one for one in listed if (one.get("involvedObject") or {}).get("name") in names]
        self._manifest("events.yaml", {"events": ours})

    async def _log(self, ref: Ref, container: str, name: str, *, previous: bool) -> None:
        logs = self.cluster.port.objects.logs
        try:
            text = await logs(ref, container=container, previous=previous, tail=LOG_LINES)
        except NotFound:
            return  # it never ran, or its node has deleted it
        except PortError as err:
            self._lacks(name, err)
            return
        self._write(name, text.encode()[-LARGEST_FILE:])

    def _manifest(self, name: str, obj: Mapping[str, Any]) -> None:
        import yaml

        self._write(name, yaml.safe_dump(cleaned(obj), sort_keys=False).encode()[:LARGEST_FILE])

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
        self.done.files.append(name)

    def _lacks(self, what: str, err: PortError) -> None:
        self.done.missing.append(f"{what}: {err.message}")


def cleaned(value: Any) -> Any:
    """A copy without the server's bookkeeping and without values that sound like secrets."""
    if isinstance(value, list):
        items = [cleaned(one) for one in value]
        is_command_line = all(isinstance(one, str) for one in items)
        return list(_without_secrets(items)) if is_command_line else items
    if not isinstance(value, Mapping):
        return value
    cleaned_fields = {
        key: cleaned(one) for key, one in value.items() if key not in ("managedFields", LAST_APPLIED)
    }
    if (
        isinstance(cleaned_fields.get("name"), str)
        and isinstance(cleaned_fields.get("value"), str)
        and _sounds_secret(cleaned_fields["name"])
    ):
        cleaned_fields["value"] = LEFT_OUT
    return cleaned_fields


def _without_secrets(words: list[str]) -> Iterator[str]:
    """A command line without the values of `--hf-token X` and `--api-key=X`."""
    before = ""
    for word in words:
        flag, equals, _ = word.partition("=")
        if equals and _sounds_secret(flag):
            yield f"{flag}={LEFT_OUT}"
        elif before.startswith("-") and _sounds_secret(before) and not word.startswith("-"):
            yield LEFT_OUT
        else:
            yield word
        before = word


def _sounds_secret(name: str) -> bool:
    return SECRETIVE.search(name.replace("-", "_")) is not None
