"""kwok: plays nodes and pods that are not there. Its stages come with its module; leases of nodes are off.

Nodes get ready and then report as kubelets do whose leases are kept by others, every five minutes; pods on them run
at once, and go when they are deleted. What is on nodes that do not carry its annotation is left alone.
"""

from pathlib import Path
from typing import Any

import yaml

from tests.kits.cluster.programs import KWOK, build, files_of

__all__ = ["FAKE", "SERVER_OPTION", "kwok"]

FAKE = {"kwok.x-k8s.io/node": "fake"}
"""The annotation of nodes that kwok plays."""
SERVER_OPTION = "--feature-gates=WatchList=false"
"""For the API server beside it. kwok watches from version 0, which a server takes for a list by watch and, on Debian's
etcd, refuses: kwok would see only what it lists, after pauses of up to a minute."""
STAGES = (
    "node/fast/node-initialize",
    "node/heartbeat/node-heartbeat",
    "pod/fast/pod-ready",
    "pod/fast/pod-delete",
)
REPORT_MS = (10_000, 590_000)
"""Five minutes on average, and spread from the beginning: nodes that were made together would report together."""
AT_ONCE = 16
NETWORK = "10.246.0.0/16"


def kwok(folder: Path, kubeconfig: Path, *, node_ip: str, port: int) -> list[str]:
    """The command that plays them; writes its configuration to `folder`. Raises ClusterError."""
    config = folder / "kwok.yaml"
    log = folder / "kwok-pod.log"
    log.write_text("2026-01-01T00:00:00.000000000Z stdout F nothing runs here\n")
    config.write_text(yaml.safe_dump_all([_options(), _logs(log), *_stages()]))
    return [
        str(build(KWOK) / "kwok"),
        f"--kubeconfig={kubeconfig}",
        f"--config={config}",
        "--manage-nodes-with-annotation-selector="
        + ",".join(f"{key}={value}" for key, value in FAKE.items()),
        "--node-lease-duration-seconds=0",
        f"--cidr={NETWORK}",
        f"--node-ip={node_ip}",
        f"--node-port={port}",
        f"--server-address=127.0.0.1:{port}",
    ]


def _options() -> dict[str, Any]:
    options: dict[str, Any] = dict.fromkeys(("podPlayStageParallelism", "nodePlayStageParallelism"), AT_ONCE)
    options["enableDebuggingHandlers"] = True  # logs
    return {"apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration", "options": options}


def _logs(file: Path) -> dict[str, Any]:
    """What every container says, in the kubelet's form."""
    spec = {"logs": [{"logsFile": str(file), "follow": False}]}
    meta = {"name": "all"}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterLogs", "metadata": meta, "spec": spec}


def _stages() -> list[dict[str, Any]]:
    folder = files_of(KWOK, "sigs.k8s.io/kwok") / "kustomize" / "stage"
    stages: list[dict[str, Any]] = [yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in STAGES]
    for stage in stages:
        if stage["metadata"]["name"] == "node-heartbeat":
            least, most = REPORT_MS
            stage["spec"]["delay"] = {"durationMilliseconds": least, "jitterDurationMilliseconds": most}
    return stages
