"""Keys, certificates and tokens, made anew for every cluster; all of them in a folder that only root reads.

Every certificate is its own authority: each is trusted by exactly those who were given it. The components have static
tokens; people get a token of a service account that expires (`kit.admin`).
"""

import base64
import json
import secrets
import subprocess
from pathlib import Path

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import API_SERVER, HOST, NODES

__all__ = ["BOOTSTRAP", "make_credentials", "token", "write_kubeconfig"]

BOOTSTRAP = "bootstrap"
"""The kit's own user, of group system:masters."""
KUBELET_CLIENT = "kubelet-client"
USERS = {
    BOOTSTRAP: ("offbus:bootstrap", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    **{node.name: (f"system:node:{node.name}", "system:nodes") for node in NODES},
}
"""Kubeconfig -> (user, group); the names are those that the API server's built-in roles are bound to."""
NAMES = {
    "etcd": "IP:127.0.0.1",
    "apiserver": f"IP:{HOST},IP:10.96.0.1,IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default.svc",
    KUBELET_CLIENT: "DNS:kubelet-client",
}
DAYS = "30"
OPENSSL_LIMIT_S = 30


def make_credentials(paths: ClusterPaths) -> None:
    """Make all of them. Raises ClusterError when openssl fails."""
    for name, alternatives in NAMES.items():
        certificate(paths.secrets, name, alternatives)
    openssl("genrsa", "-out", paths.secrets / "service-accounts.key", "2048")
    tokens = {name: secrets.token_urlsafe(32) for name in USERS}
    rows = [f'{tokens[name]},{user},{user},"{group}"' for name, (user, group) in USERS.items()]
    private(paths.secrets / "tokens.csv", "\n".join(rows) + "\n")
    for name, value in tokens.items():
        write_kubeconfig(paths, paths.secrets / f"{name}.kubeconfig", value)


def certificate(folder: Path, name: str, alternatives: str) -> None:
    """A key and its self-signed certificate, for server and client."""
    openssl(
        *(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            DAYS,
        ),
        *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
        *("-subj", f"/CN=offbus-{name}", "-addext", f"subjectAltName={alternatives}"),
    )


def openssl(*arguments: str | Path) -> None:
    """Run openssl. Raises ClusterError."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=OPENSSL_LIMIT_S, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} failed:\n{done.stderr[-1000:]}")


def write_kubeconfig(paths: ClusterPaths, path: Path, value: str) -> None:
    """A kubeconfig for one token. JSON is YAML."""
    authority = base64.b64encode((paths.secrets / "apiserver.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "offbus", "cluster": {"server": API_SERVER, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "offbus", "user": {"token": value}}],
        "contexts": [{"name": "offbus", "context": {"cluster": "offbus", "user": "offbus"}}],
        "current-context": "offbus",
    }
    private(path, json.dumps(config, indent=2) + "\n")


def token(kubeconfig: Path) -> str:
    """The token in one of our kubeconfigs."""
    return str(json.loads(kubeconfig.read_text())["users"][0]["user"]["token"])


def private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    made = path.with_name(f".{path.name}.new")
    made.touch(mode=0o600)
    made.write_text(text)
    made.replace(path)
