"""`offbus local apply`: creates the objects of a manifest in a sandbox that is up, and waits until its pods are ready.

For playing by hand, and for the gateway, whose faults need a workload that is there. It belongs to no run: nothing
undoes it but `offbus local down`.
"""

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import anyio

from offbus.errors import CouldNotRun
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.port import Conflict, Object, Port, Ref
from offbus_steps.workloads.manifest import read_manifest
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS, workload_of

__all__ = ["apply"]

READY_WITHIN_S = 60.0


async def apply(layout: Layout, manifest: Path) -> list[str]:
    """Create them; what was created. Raises StepError, CouldNotRun, PortError."""
    objects = read_manifest(manifest)
    async with LocalPort(layout.api) as port:
        made = [str(Ref.of(one)) for one in _with_namespaces(objects) if await _created(port, one)]
        for one in objects:
            if one["kind"] in WORKLOAD_KINDS:
                await _until_ready(port, one)
    return made


def _with_namespaces(objects: Sequence[Object]) -> list[Object]:
    needed = dict.fromkeys(one["metadata"]["namespace"] for one in objects if "namespace" in one["metadata"])
    made: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in needed
    ]
    return [*made, *(one for one in objects if one["kind"] != "Namespace")]


async def _created(port: Port, one: Object) -> bool:
    """Whether it is new. What is there already stays as it is."""
    try:
        await port.objects.create(one)
    except Conflict:
        return False
    return True


async def _until_ready(port: Port, one: Object) -> None:
    """Wait until its controller says that it is rolled out. Raises CouldNotRun."""
    ref = Ref.of(one)
    with anyio.move_on_after(READY_WITHIN_S):
        listed = await port.objects.list(ref.kind, namespace=ref.namespace)
        if any(Ref.of(each) == ref and _is_ready(each) for each in listed.items):
            return
        events = port.objects.watch(
            ref.kind, namespace=ref.namespace, resource_version=listed.resource_version
        )
        async with aclosing(cast("Any", events)) as changes:
            async for event in changes:
                if event.object["metadata"].get("name") == ref.name and _is_ready(event.object):
                    return
    hint = "see `offbus local status`"
    raise CouldNotRun(f"{ref} is not ready within {READY_WITHIN_S:g} s", hint=hint)


def _is_ready(obj: Object) -> bool:
    workload = workload_of(obj)
    return workload.observed and workload.rolled_out
