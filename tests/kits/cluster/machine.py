"""What the machine must bring: Linux, root, and Debian packages, which root's `make cluster` installs itself."""

import os
import platform
import shutil
import subprocess

from tests.kits.cluster.errors import ClusterError

__all__ = ["check_machine", "install_packages", "missing_packages"]

PROGRAMS = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "/lib/systemd/systemd-journald": "systemd",
    "journalctl": "systemd",
    "openssl": "openssl",
    "gcc": "gcc",
}
"""Program -> the Debian package that brings it. pause is linked statically, for which gcc needs libc6-dev."""
INSTALL_LIMIT_S = 600


def check_machine() -> None:
    """Raise ClusterError where a cluster cannot run at all."""
    if platform.system() != "Linux":
        raise ClusterError(
            f"the test cluster needs Linux's namespaces and cgroups; this is {platform.system()}"
        )
    if os.geteuid() != 0:
        raise ClusterError(
            "the test cluster needs root: nodes mount, have networks and run containers; use sudo"
        )


def missing_packages() -> list[str]:
    """Packages whose programs are not there, sorted."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)})


def install_packages() -> None:
    """Install what is missing with apt. Raises ClusterError where there is no apt, or it fails."""
    missing = missing_packages()
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise ClusterError(
            f"programs are missing and there is no apt-get; install what Debian calls: {' '.join(missing)}"
        )
    print(f"cluster: apt-get install {' '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    for command in (
        install,
        ["apt-get", "update", "-qq"],
        install,
    ):  # lists may be absent or old: then once more
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
        )
        if command is install and done.returncode == 0:
            break
    if left := missing_packages():
        raise ClusterError(
            f"apt-get could not install {' '.join(left)}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}"
        )
