"""The machine's side of the cluster's network: one bridge, a cable a node, and routes to the pods.

Nothing is masqueraded and nodes have no default route, so nothing can leave the machine.
"""

import ipaddress
import json
import subprocess
from typing import Any

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.plan import (
    BRIDGE,
    BRIDGE_MAC,
    HOST,
    NODES,
    POD_NETWORK,
    PREFIX,
    SERVICE_NETWORK,
    Node,
)

__all__ = [
    "check_network",
    "check_owner",
    "cut",
    "ip",
    "make_bridge",
    "plug_in",
    "reconnect",
    "remove_network",
]

LIMIT_S = 20
ALIAS_LENGTH = 255
"""At most, IFALIASZ of linux/if.h less the end."""
NETWORKS = (f"{HOST}/{PREFIX}", POD_NETWORK, SERVICE_NETWORK)


def ip(*arguments: str) -> str:
    """Run `ip`. Raises ClusterError."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise ClusterError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def links() -> dict[str, dict[str, Any]]:
    """The machine's links by name."""
    return {link["ifname"]: link for link in json.loads(ip("-json", "link", "show") or "[]")}


def check_owner(owner: str) -> None:
    """Raise ClusterError when the machine has the cluster of another folder. One without a name was never finished."""
    alias = links().get(BRIDGE, {}).get("ifalias", "")
    if alias not in ("", owner[:ALIAS_LENGTH]):
        raise ClusterError(
            f"this machine has a cluster already, of {alias}; `make cluster-down` with its XDG_STATE_HOME ends it"
        )


def check_network() -> None:
    """Raise ClusterError when somebody routes one of our networks."""
    ours = [ipaddress.ip_network(net, strict=False) for net in NETWORKS]
    for route in json.loads(ip("-json", "route", "show") or "[]"):
        if route["dst"] == "default":
            continue
        taken = ipaddress.ip_network(route["dst"])
        if clash := next((net for net in ours if net.overlaps(taken)), None):
            raise ClusterError(
                f"the cluster needs {clash}, and this machine routes {taken} to {route.get('dev')}"
            )


def make_bridge(owner: str) -> None:
    """Make the bridge; its alias names the cluster's folder, so that another `make cluster` can say whose it is."""
    ip("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
    ip("link", "set", BRIDGE, "alias", owner[:ALIAS_LENGTH])
    ip("addr", "add", f"{HOST}/{PREFIX}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")


def plug_in(node: Node, pid: int) -> None:
    """Give the node (its first process) an eth0, and the machine a way to its pods; services go by the first node."""
    if node.link in links():
        remove_link(node.link)
    ip(
        "link",
        "add",
        node.link,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "address",
        node.mac,
        "netns",
        str(pid),
    )
    ip("link", "set", node.link, "master", BRIDGE, "up")
    ip("route", "replace", node.pods, "via", node.address)
    if node == NODES[0]:
        ip("route", "replace", SERVICE_NETWORK, "via", node.address)


def cut(node: Node) -> None:
    """Cut the node's cable: it runs on, and nobody hears it."""
    ip("link", "set", node.link, "down")


def reconnect(node: Node) -> None:
    """Substitution it. The node's own routes survived, because its end stayed up."""
    ip("link", "set", node.link, "up")


def remove_network() -> None:
    """Remove cables and bridge; routes and addresses go with them."""
    for name in sorted(links(), reverse=True):
        if name == BRIDGE or name in {node.link for node in NODES}:
            remove_link(name)


def remove_link(name: str) -> None:
    """Remove a link. The kernel removes the cable of a node that has died too, a little later: one of both is first."""
    try:
        ip("link", "del", name)
    except ClusterError:
        if name in links():
            raise
