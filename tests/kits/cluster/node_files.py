"""A node's disk before its first start: configuration of containerd, CNI and kubelet, and its GPUs' files."""

import json
import shutil
from pathlib import Path
from typing import Any

from offbus_sandbox.nodes.gpus import write_gpu_files
from tests.kits.cluster.own_images import PAUSE_IMAGE
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import CGROUP, Node

__all__ = ["labels", "write_node_files"]

CONTAINERD = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
"""containerd 1.6's format, which newer ones read too. Without CAP_SYS_RESOURCE no OOM score can be lowered."""


def write_node_files(paths: ClusterPaths, node: Node) -> None:
    """Write all of them."""
    disk = paths.node(node.name)
    for folder in ("gpus", "log", "kubelet", "containerd"):
        (disk / folder).mkdir(parents=True, exist_ok=True)
    (disk / "gpus" / "lib").mkdir(exist_ok=True)  # where the stand-in driver is mounted
    write_gpu_files(disk / "gpus", node.name, node.gpus)
    (disk / "containerd.toml").write_text(CONTAINERD)
    (disk / "cni.conflist").write_text(json.dumps(cni(node), indent=2) + "\n")
    (disk / "kubelet.yaml").write_text(json.dumps(kubelet(paths.secrets, node), indent=2) + "\n")
    for source, target in ((node.name, "kubelet"), ("kube-proxy", "kube-proxy")):
        shutil.copy(paths.secrets / f"{source}.kubeconfig", disk / f"{target}.kubeconfig")


def labels(node: Node) -> dict[str, str]:
    """What GPU feature discovery and NVSentinel's labeler would write (reference/nvsentinel.md)."""
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(len(node.gpus)),
        "nvidia.com/gpu.product": node.gpus[0].name.replace(" ", "-"),
        "nvsentinel.dgxc.nvidia.com/driver.installed": "true",
        "nvsentinel.dgxc.nvidia.com/kata.enabled": "false",
    }


def cni(node: Node) -> dict[str, Any]:
    """A bridge a node, with addresses of the node's own network. Pods are never masqueraded."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "offbus", "plugins": [bridge, portmap]}


def kubelet(secrets: Path, node: Node) -> dict[str, Any]:
    """Its configuration. The lease is renewed every quarter of its duration, so that a lost node shows within 12 s."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": f"offbus://{node.name}",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}/{node.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(secrets / "kubelet-client.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "resolvConf": "",
        "clusterDNS": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 8,
    }
