"""Checks before anything is changed: is the server reachable, which declared rights are missing, are agents ready?

Each permission is checked by a SelfSubjectAccessReview, concurrently, so that every missing verb is named. Changes
nothing. Every refusal is CouldNotRun.
"""

from collections.abc import Iterable

import anyio

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.rights import Right, Scope
from offbus_steps.kubernetes.rbac.runner import runner_rights
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.listing import projected
from offbus_steps.port import Forbidden, PortError
from offbus_steps.workloads.gpus import allocatable_gpus

__all__ = ["ROLES", "is_needed", "missing_agents", "missing_drill_rights", "missing_rights", "preflight"]

ROLES = "deploy/ has the roles: bind offbus-runner, and offbus-runner-drill where drills run"
"""What to do about missing permissions."""

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def preflight(port: KubernetesPort, *, drill_namespace: str, agent_namespace: str) -> None:
    """Raise CouldNotRun naming everything that is missing."""
    try:
        await port.api.json(Call("GET", "/version"))
        missing = await missing_rights(port, drill_namespace=drill_namespace, agent_namespace=agent_namespace)
    except PortError as err:
        raise CouldNotRun(f"the cluster cannot be used: {err.message}", hint=err.hint) from err
    if missing:
        raise CouldNotRun(
            f"missing permissions: {'; '.join(missing)}",
            hint=ROLES,
        )
    absent = await missing_agents(port)
    if absent:
        raise CouldNotRun(
            f"no agent is ready on {', '.join(absent)} (namespace {agent_namespace})",
            hint="run `kubectl apply -k deploy/base`, and check the DaemonSet offbus-agent",
        )


async def missing_rights(port: KubernetesPort, *, drill_namespace: str, agent_namespace: str) -> list[str]:
    """The missing permissions, as "VERB RESOURCE in NAMESPACE", in the order of `runner_rights`."""
    spaces = {Scope.DRILL: drill_namespace, Scope.AGENTS: agent_namespace}  # "" is the whole cluster
    return await _lacking(port, [(right, spaces.get(right.scope, "")) for right in runner_rights()])


async def missing_drill_rights(port: KubernetesPort, namespaces: Iterable[str]) -> list[str]:
    """Those that are missing of what a drill does in its own namespaces, in each of these."""
    mine = [right for right in runner_rights() if right.scope is Scope.DRILL]
    return await _lacking(port, [(right, space) for space in dict.fromkeys(namespaces) for right in mine])


async def _lacking(port: KubernetesPort, asked: Iterable[tuple[Right, str]]) -> list[str]:
    wanted = [(right, space) for right, space in asked if await is_needed(port, right)]
    lacking: set[tuple[Right, str]] = set()

    async def check(right: Right, space: str) -> None:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": right.attributes(space)},
        }
        try:
            answer = await port.api.json(Call("POST", REVIEWS, body=body))
        except Forbidden as err:
            raise Forbidden(f"cannot check permissions: {err.message}", hint=err.hint) from err
        if not answer["status"]["allowed"]:
            lacking.add((right, space))

    async with anyio.create_task_group() as group:
        for right, space in wanted:
            group.start_soon(check, right, space)
    return [
        f"{right} in {space}" if space else f"{right}" for right, space in wanted if (right, space) in lacking
    ]


async def missing_agents(port: KubernetesPort) -> list[str]:
    """Nodes with GPUs but without a ready agent."""
    agents = await port.agents.by_node()
    names = await projected(
        port.objects, "Node", lambda node: str(node["metadata"]["name"]) if allocatable_gpus(node) else None
    )
    return sorted(name for name in names if name not in agents)


async def is_needed(port: KubernetesPort, right: Right) -> bool:
    """Whether every drill in this cluster needs the permission."""
    if right.scope is Scope.ADMISSION:
        return False  # the step that needs it checks by a dry run
    return not right.optional or await port.served.serves_group(f"{right.group}/")
