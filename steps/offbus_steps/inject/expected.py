"""What NVSentinel is expected to recommend for a fault on a node, by the catalogue and by what its monitor can know.

For most XIDs the catalogue alone decides. An NVLink 5 line (144-150) is read by the layout of the driver that the
monitor knows from the node's metadata file, and COMPONENT_RESET becomes RESTART_VM for a GPU that the file does not
list. The node's agent reads that file (`GET /health`: `responder`). The monitor read it when it started, so a newer
file is not what it knows: `possible` has what may come instead. Where an agent does not say, every possible action is
expected.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from offbus.errors import OffbusError
from offbus_agent.catalogue.plane import Plane
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.location import Location

__all__ = ["Expected", "expected_anywhere", "expected_of", "expected_on"]

NONE = "NONE"
RESET, REBOOT = "COMPONENT_RESET", "RESTART_VM"
DRIVERS = (570, 580)
"""One of each layout of NVLink 5 lines."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected on one node."""

    node: str
    actions: tuple[str, ...] = ()
    """One; more where it cannot be told which; none where no line is written."""
    basis: str = ""
    """What decides it, where the catalogue alone does not."""

    @property
    def cordons(self) -> bool:
        """Whether the node may be quarantined: any action except NONE is fatal."""
        return any(action != NONE for action in self.actions)

    @property
    def possible(self) -> tuple[str, ...]:
        """The actions, and what becomes of a reset when the monitor's metadata is older than the file."""
        return tuple(dict.fromkeys((*self.actions, *([REBOOT] if RESET in self.actions else []))))


async def expected_on(
    cluster: Cluster, xid: int, locations: Iterable[Location], planes: Collection[Plane]
) -> list[Expected]:
    """For each location, by its agent."""
    return [await _asked(cluster, xid, location, planes) for location in locations]


async def _asked(cluster: Cluster, xid: int, location: Location, planes: Collection[Plane]) -> Expected:
    """An agent is asked only where its answer matters."""
    node = location.node
    anywhere = expected_anywhere(xid, node, planes, "")
    if len(anywhere.actions) <= 1:
        return anywhere
    try:
        health: Mapping[str, Any] = await cluster.agents.health(node)
    except OffbusError as err:
        return replace(anywhere, basis=f"its agent does not say what its monitor knows: {err}")
    return expected_of(xid, node, location.gpus, health)


def expected_of(xid: int, node: str, gpus: Sequence[str], health: Mapping[str, Any]) -> Expected:
    """By the answer of the node's agent."""
    from offbus_agent.catalogue.catalogue import lookup
    from offbus_agent.catalogue.nvlink5 import branch
    from offbus_agent.catalogue.responder_action import Monitor

    anywhere = expected_anywhere(
        xid, node, [Plane.KERNEL], "its agent is of a version that does not tell what its monitor knows"
    )
    responder = health.get("responder")
    if len(anywhere.actions) == 1 or not isinstance(responder, Mapping):
        return anywhere
    version, listed = str(responder.get("driver") or ""), responder.get("gpus") or ()
    writers = {str(one.get("uuid")): branch(str(one.get("driver") or "")) for one in health["gpus"]}
    actions = {
        lookup(xid).action(Monitor.of(version, lists_gpu=gpu in listed), writer=writers.get(gpu)): gpu
        for gpu in gpus
    }
    return Expected(
        node, tuple(actions), _basis(version, [gpu for gpu in gpus if gpu not in listed], responder)
    )


def expected_anywhere(xid: int, node: str, planes: Collection[Plane], why: str) -> Expected:
    """On a node of which nothing is known: every action that the XID can get."""
    if Plane.KERNEL not in planes:
        return Expected(node)

    from offbus_agent.catalogue.catalogue import lookup
    from offbus_agent.catalogue.responder_action import Monitor

    actions = dict.fromkeys(
        lookup(xid).action(Monitor(driver, listed), writer=writer)
        for listed in (True, False)
        for writer in DRIVERS
        for driver in DRIVERS
    )
    return Expected(node, tuple(actions), why if len(actions) > 1 else "")


def _basis(version: str, unlisted: Sequence[str], responder: Mapping[str, Any]) -> str:
    if not responder.get("metadata"):
        return "the node has no metadata file, so the monitor knows no GPU, and takes the driver for one before R575"
    driver = f"driver {version}" if version else "no driver version, which counts as before R575"
    listed = f"not {', '.join(unlisted)}" if unlisted else "the GPU"
    return f"the node's metadata file has {driver}, and lists {listed}"
