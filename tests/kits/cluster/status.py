"""`make cluster-status`: versions, nodes, pods, and how to talk to the cluster."""

import shlex
import subprocess
from pathlib import Path

from tests.kits.cluster import api
from tests.kits.cluster.lifecycle import programs, running
from tests.kits.cluster.place import Place
from tests.kits.cluster.world import ours

__all__ = ["how_to_use", "print_status"]

LIMIT_S = 30
VIEWS = (
    ["get", "nodes", "-o", "wide", "--label-columns=nvidia.com/gpu.count"],
    ["get", "pods", "--all-namespaces", "-o", "wide"],
)


def how_to_use(place: Place, kubectl: Path) -> str:
    """The line to paste into a shell."""
    return f"export KUBECONFIG={shlex.quote(str(place.kubeconfig))}   # kubectl of its version: {kubectl}"


def print_status(place: Place) -> bool:
    """Print it; whether a whole cluster runs and answers."""
    if not running(place):
        left = ours(place)
        print(
            "\n".join(["a cluster is here in part; `make cluster-down` removes it:", *left])
            if left
            else "there is no cluster"
        )
        return False
    kubectl = programs(place) / "kubectl"
    with api.client(place) as made:
        if not api.healthy(made):
            print(f"the API server does not answer; its log: {place.logs / 'kube-apiserver.log'}")
            return False
        print("kubernetes", made.get("/version").json()["gitVersion"])
    for view in VIEWS:
        shown = subprocess.run(
            [str(kubectl), f"--kubeconfig={place.kubeconfig}", *view],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        print(f"\n{shown.stdout}{shown.stderr}", end="")
    print(f"\nlogs: {place.logs}, {place.root}/nodes/*/log\n{how_to_use(place, kubectl)}")
    return True
