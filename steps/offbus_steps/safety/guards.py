"""The guards of a cluster: what each counts and refuses, before and during the run.

    guards: {max_cordoned_nodes: 1, min_healthy_replicas: 1, namespaces: ["drill-*"], real_remediation: forbid,
             responder_breaker: forbid}

Before: `deploy` and the injecting steps check them, and raise GuardRefused (exit 3) naming the guard and the shortage.
During: the observer checks them after every change; a broken guard stops the run, which undoes.
"""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from offbus.environment import Guards
from offbus.errors import GuardRefused
from offbus_steps.nvsentinel.names import USUAL_NAMESPACE, RecommendedAction

if TYPE_CHECKING:
    from offbus_steps.port import Objects, Port
    from offbus_steps.watch.event_log import World
    from offbus_steps.watch.projections import PodProjection
    from offbus_steps.workloads.target import Target

__all__ = ["ClusterGuards"]

NO_ACTION = RecommendedAction.NONE.name
"""Recommended for XIDs that need no remediation: they are not fatal, so the responder does nothing."""


class ClusterGuards(Guards):
    """Guards that every environment with a cluster can enforce."""

    max_cordoned_nodes: int = Field(
        default=1, ge=0, description="How many nodes may be cordoned at once, no matter who cordoned them."
    )
    min_healthy_replicas: int = Field(
        default=0,
        ge=0,
        description="How many of the target's replicas (its pods that request GPUs; all its pods when none does) must "
        "be ready: elsewhere than on the faulted node before the injection, and anywhere while a fault is armed.",
    )
    namespaces: tuple[str, ...] = Field(
        default=("*",),
        description="Shell patterns of the namespaces that belong to the drill; pods of others on the faulted node "
        "(except DaemonSets and system pods) make the fault refused.",
    )
    real_remediation: Literal["forbid", "allow"] = Field(
        default="forbid",
        description="Whether a responder may really reboot or reset the faulted node because of a drill.",
    )
    responder_breaker: Literal["forbid", "allow"] = Field(
        default="forbid",
        description="Whether a drill may trip the responder's circuit breaker, after which the responder answers no "
        "real fault until somebody resets it; and whether one may start while it is tripped.",
    )

    responder_namespace: str = Field(
        default=USUAL_NAMESPACE,
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Where the responder is deployed. What it would do is read there alone: nobody but its owners may "
        "be able to write there, as what it says decides what the other guards let pass.",
    )

    def allows_namespace(self, namespace: str) -> bool:
        """Whether a namespace belongs to the drill."""
        return any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)

    @property
    def searched(self) -> tuple[str, ...]:
        """The namespaces to list: those that are named, or ("",) for all of them when one is a pattern."""
        named = all(not set(pattern) & set("*?[") for pattern in self.namespaces)
        return tuple(dict.fromkeys(self.namespaces)) if named else ("",)

    def require_namespace(self, namespace: str) -> None:
        """Raises GuardRefused when a namespace does not belong to the drill."""
        if not self.allows_namespace(namespace):
            patterns = ", ".join(self.namespaces)
            raise GuardRefused(
                f"guard namespaces: {namespace!r} is not among {patterns}",
                hint="widen guards.namespaces, or use a target in one of them",
            )

    def require_cordon_room(self, world: "World", nodes: Collection[str]) -> None:
        """Raises GuardRefused when too many nodes would be cordoned, with those that already are."""
        after = {one.ref.name for one in world.nodes() if one.cordoned} | set(nodes)
        if len(after) > self.max_cordoned_nodes:
            raise GuardRefused(
                f"guard max_cordoned_nodes: {len(after)} nodes ({', '.join(sorted(after))}) would be cordoned, "
                f"the limit is {self.max_cordoned_nodes}",
                hint="uncordon nodes, or raise guards.max_cordoned_nodes",
            )

    def require_healthy_elsewhere(self, world: "World", target: "Target", nodes: Collection[str]) -> None:
        """Raises GuardRefused when too few replicas would remain without those on these nodes."""
        remaining = [pod for pod in _healthy(world, target) if pod.node not in nodes]
        if len(remaining) < self.min_healthy_replicas:
            raise GuardRefused(
                f"guard min_healthy_replicas: {len(remaining)} of {target} would remain without those on "
                f"{', '.join(sorted(nodes))}, at least {self.min_healthy_replicas} must",
                hint="add replicas on other nodes, or lower guards.min_healthy_replicas",
            )

    async def require_no_real_remediation(self, port: "Port", node: str, action: str) -> None:
        """Raises GuardRefused when the fault would make a responder really reboot or reset the node.

        It depends on what is deployed (`offbus_steps.nvsentinel.deployed`); what cannot be determined is refused, too.
        Whether its nodes can be rebooted at all is the environment's word: a node's own status is its kubelet's.
        """
        from offbus_steps.nvsentinel.deployed import deployed

        if self.real_remediation == "allow" or action == NO_ACTION or port.local:
            return
        if reasons := (await deployed(port.objects, self.responder_namespace)).real(action):
            raise GuardRefused(
                f"guard real_remediation: {action} for {node}: {'; '.join(reasons)}",
                hint="enable its dry run or its janitor's manual mode, or set guards.real_remediation to allow",
            )

    async def require_breaker_room(self, objects: "Objects", nodes: Collection[str]) -> tuple[str, ...]:
        """Raises GuardRefused when a quarantine of these nodes would trip a circuit breaker, or one is tripped.

        Where the guard allows it: returns why, in words; somebody has to know it.
        """
        from offbus_steps.nvsentinel.circuit_breaker import breakers_in, objections
        from offbus_steps.nvsentinel.installation import installed
        from offbus_steps.port import Forbidden

        try:
            responder = await installed(objects, self.responder_namespace)
            listed = (await objects.list("Node")).items
        except Forbidden as err:
            why, hint = (
                f"whether a circuit breaker would trip cannot be determined: {err.message}",
                "grant that right",
            )
        else:
            found = breakers_in(responder.deployments, responder.maps)
            told = [(one, reason) for one in found for reason in objections(one, listed, nodes)]
            if not told and not responder.unknown:
                return ()
            why = "; ".join(reason for _, reason in told) or responder.unknown
            hint = told[0][0].way_out if told else "set guards.responder_namespace"
        if self.responder_breaker == "allow":
            return (why,)
        raise GuardRefused(
            f"guard responder_breaker: {why}", hint=f"{hint}, or set guards.responder_breaker to allow"
        )

    def broken(self, world: "World", faulted: "Iterable[Target]" = ()) -> str | None:
        """Which guard is broken now, given the targets that have an armed fault; None for none."""
        cordoned = sorted(one.ref.name for one in world.nodes() if one.cordoned)
        if len(cordoned) > self.max_cordoned_nodes:
            limit = self.max_cordoned_nodes
            return f"guard max_cordoned_nodes: {', '.join(cordoned)} are cordoned, the limit is {limit}"
        for target in faulted:
            healthy = len(_healthy(world, target))
            if healthy < self.min_healthy_replicas:
                return (
                    f"guard min_healthy_replicas: {healthy} of {target} are ready, "
                    f"at least {self.min_healthy_replicas} must be while a fault is armed"
                )
        return None


def _healthy(world: "World", target: "Target") -> "list[PodProjection]":
    """The target's replicas that are ready and not terminating."""
    from offbus_steps.watch.target_pods import target_pods

    found = target_pods(world, target)
    replicas = [pod for pod in found if pod.gpus] or found
    return [pod for pod in replicas if pod.ready and pod.active]
