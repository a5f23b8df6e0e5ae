"""The cluster's names and addresses: fixed, so one cluster a machine.

Everything that a cluster makes in the machine's own namespaces carries one of these names, which is how teardown finds
it again. Node networks are private ranges (RFC 1918) that nothing routes out of the machine.
"""

from dataclasses import dataclass

from offbus_sandbox.nodes.gpus import NODES_PER_DOMAIN, Gpu, gpus_of

__all__ = [
    "API_SERVER",
    "BRIDGE",
    "BRIDGE_MAC",
    "CGROUP",
    "GPUS_PER_NODE",
    "HOST",
    "NODES",
    "POD_NETWORK",
    "PREFIX",
]
__all__ += ["SERVICE_NETWORK", "Node", "node_named"]

BRIDGE = "offbus0"
BRIDGE_MAC = "02:88:00:00:00:01"
"""Fixed: a bridge without one takes its lowest port's and changes it when that node dies, and all nodes go NotReady."""
HOST = "10.88.0.1"
PREFIX = 24
API_SERVER = f"https://{HOST}:6443"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
CGROUP = "offbus-cluster"
"""The folder below each cgroup hierarchy's root that holds all pods."""
GPUS_PER_NODE = 4


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `number` counts from 1 and is also the PCI domain of its GPUs."""

    number: int

    @property
    def name(self) -> str:
        """As Kubernetes knows it."""
        return f"n{self.number}"

    @property
    def address(self) -> str:
        """Its IPv4 address on the bridge."""
        return f"10.88.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """The network of its pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def mac(self) -> str:
        """Of its eth0; fixed, so that a node that comes back is at once known to the others."""
        return f"02:88:00:00:01:{self.number:02x}"

    @property
    def link(self) -> str:
        """The host's end of its cable."""
        return f"{BRIDGE}n{self.number}"

    @property
    def gpus(self) -> list[Gpu]:
        """Its stand-in GPUs. The nodes share one kernel log, so each has PCI addresses of its own."""
        return gpus_of(self.name, NODES_PER_DOMAIN * self.number, GPUS_PER_NODE)


NODES = (Node(1), Node(2), Node(3))


def node_named(name: str) -> Node:
    """The node of that name. Raises KeyError."""
    return {node.name: node for node in NODES}[name]
