"""Custom resources for tests: created, and waited for until they are served."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import NotFound

__all__ = ["define"]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def define(port: KubernetesPort, documents: Sequence[Mapping[str, Any]]) -> None:
    """Create CustomResourceDefinitions, and return when all are served."""
    for definition in documents:
        await port.api.json(Call("POST", DEFINITIONS, body=definition))
    for definition in documents:
        await established(port, definition["metadata"]["name"])


async def established(port: KubernetesPort, name: str) -> None:
    """Wait for a custom resource. Discovery follows the condition a moment later, so that is asked."""
    kind, _, group = name.partition(".")
    with anyio.fail_after(60):
        while not await listed(port, group, kind):  # noqa: ASYNC110  discovery cannot be watched
            await anyio.sleep(0.1)


async def listed(port: KubernetesPort, group: str, plural: str) -> bool:
    """Whether discovery names a kind."""
    try:
        versions = (await port.api.json(Call("GET", f"/apis/{group}")))["versions"]
        found = await port.api.json(Call("GET", f"/apis/{versions[0]['groupVersion']}"))
    except NotFound:
        return False
    return any(one["name"] == plural for one in found["resources"])
