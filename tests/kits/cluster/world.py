"""What the machine looks like, as far as a cluster could change it: to compare before and after.

`ours` is exact: it looks for the cluster's own names. `difference` is the independent check: it compares everything,
whoever changed it, so that something that the cluster makes and `ours` does not know would be seen too.
"""

import re
import shutil
import subprocess
from pathlib import Path

from tests.kits.cluster.cgroups import cgroups_left, hierarchies
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import BRIDGE
from tests.kits.cluster.processes import find, in_a_pod

__all__ = ["World", "difference", "ours", "restore_settings", "snapshot"]

World = dict[str, list[str]]
COMMANDS = {
    "links": ["ip", "-brief", "link", "show"],
    "addresses": ["ip", "-brief", "address", "show"],
    "routes": ["ip", "route", "show", "table", "all"],
    "rules": ["ip", "rule", "show"],
    "network namespaces": ["ip", "netns", "list"],
    "iptables": ["iptables-save"],
    "ip6tables": ["ip6tables-save"],
}
LIMIT_S = 20
KUBELETS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""Settings of the whole machine that every kubelet changes (`setupKernelTunables`); teardown puts them back."""
SETTINGS = (*KUBELETS, "kernel/printk_devkmsg", "net/bridge/bridge-nf-call-iptables", "net/ipv4/ip_forward")
FOLDERS = (
    "/etc/cni",
    "/opt/cni",
    "/run/containerd",
    "/run/offbus",
    "/run/standin-gpus",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/nvsentinel",
    "/var/log/containers",
    "/var/log/pods",
)
"""Default paths of a node's programs: every node has its own, the machine none."""


def snapshot() -> World:
    """Everything that is compared."""
    world = {name: lines(command) for name, command in COMMANDS.items()}
    world["mounts"] = mounts()
    world["cgroups"] = top_cgroups()
    world["settings"] = [f"{name} = {value}" for name in SETTINGS if (value := setting(name)) is not None]
    world["folders"] = [folder for folder in FOLDERS if Path(folder).exists()]
    return world


def top_cgroups() -> list[str]:
    """The outermost cgroups of every hierarchy. What is further in is their owners', and comes and goes."""
    return sorted(str(path) for top in hierarchies() for path in top.iterdir() if path.is_dir())


def setting(name: str) -> str | None:
    """A kernel setting's value; None where there is no such setting."""
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else None


def restore_settings(before: World) -> None:
    """Put back what kubelets changed on the machine."""
    for line in before["settings"]:
        name, _, value = line.partition(" = ")
        if name in KUBELETS and setting(name) != value:
            (Path("/proc/sys") / name).write_text(value)


def lines(command: list[str]) -> list[str]:
    """A command's lines, without comments (they hold times) and packet counts; empty where it is not installed."""
    if not shutil.which(command[0]):
        return []
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    kept = (line for line in done.stdout.splitlines() if line.strip() and not line.startswith("#"))
    return sorted(re.sub(r"\[\d+:\d+\]$", "", line).strip() for line in kept)


def mounts() -> list[str]:
    """Mount point and type of every mount, of `/proc/self/mountinfo` (proc(5))."""
    entries = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted(f"{words[4]} {words[words.index('-') + 1]}" for words in entries)


def difference(before: World, after: World) -> list[str]:
    """What came and what went, one line each."""
    told = []
    for name in before:
        told += [f"{name}: left behind: {line}" for line in after[name] if line not in before[name]]
        told += [f"{name}: gone: {line}" for line in before[name] if line not in after[name]]
    return told


def ours(paths: ClusterPaths) -> list[str]:
    """What there is of the cluster now, one line each."""
    told = [f"process {p.id.pid} {p.command()}" for p in [*find(paths), *in_a_pod()]]
    told += [f"link {line}" for line in lines(COMMANDS["links"]) if line.startswith(BRIDGE)]
    told += [f"mount {line}" for line in mounts() if line.startswith(f"{paths.root}/")]
    told += [f"cgroup {path}" for path in cgroups_left()]
    told += [f"rule {line}" for line in lines(COMMANDS["iptables"]) if "KUBE-" in line or "CNI-" in line]
    return told + [f"folder {paths.root}" for _ in [0] if paths.root.exists()]
