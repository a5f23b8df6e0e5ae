"""`make cluster-status`: versions, nodes, pods, and how to talk to the cluster."""

import shlex
import subprocess
from pathlib import Path

from tests.kits.cluster import api
from tests.kits.cluster.lifecycle import programs, running
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.world import ours

__all__ = ["how_to_use", "print_status"]

LIMIT_S = 30
VIEWS = (
    ["get", "nodes", "-o", "wide", "--label-columns=nvidia.com/gpu.count"],
    ["get", "pods", "--all-namespaces", "-o", "wide"],
)


def how_to_use(paths: ClusterPaths, kubectl: Path) -> str:
    """The line to paste into a shell."""
    return f"export KUBECONFIG={shlex.quote(str(paths.kubeconfig))}   # kubectl of its version: {kubectl}"


def print_status(paths: ClusterPaths) -> bool:
    """Print it; whether a whole cluster runs and answers."""
    if not running(paths):
        left = ours(paths)
        print(
            "\n".join(["a cluster is here in part; `make cluster-down` removes it:", *left])
            if left
            else "there is no cluster"
        )
        return False
    kubectl = programs(paths) / "kubectl"
    with api.client(paths) as made:
        if not api.healthy(made):
            print(f"the API server does not answer; its log: {paths.logs / 'kube-apiserver.log'}")
            return False
        print("kubernetes", made.get("/version").json()["gitVersion"])
    for view in VIEWS:
        shown = subprocess.run(
            [str(kubectl), f"--kubeconfig={paths.kubeconfig}", *view],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        print(f"\n{shown.stdout}{shown.stderr}", end="")
    print(f"\nlogs: {paths.logs}, {paths.root}/nodes/*/log\n{how_to_use(paths, kubectl)}")
    return True
