"""etcd, API server, controller manager and scheduler, as processes of the machine.

RBAC and the Node authorizer are on, MutatingAdmissionPolicy is enabled, and etcd, kubelets and API server talk to each
other only with certificates: whoever may start pods here is root of the machine.
"""

import json
from pathlib import Path

from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import HOST, POD_NETWORK, SERVICE_NETWORK
from tests.kits.cluster.processes import start

__all__ = ["ROLES", "start_control_plane", "start_program"]

ROLES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
ETCD = "https://127.0.0.1:12379"
ETCD_PEER = "https://127.0.0.1:12380"
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete"],
            "resources": [{"group": "", "resources": ["nodes"]}],
        },
        {"level": "None"},
    ],
}
"""Writes to nodes: `stageTimestamp` is the API server's own time of a cordon."""


def start_control_plane(paths: ClusterPaths, programs: Path) -> None:
    """Start all four at once: each waits for the one below it."""
    for role in ROLES:
        start_program(paths, programs, role)


def start_program(paths: ClusterPaths, programs: Path, role: str) -> None:
    """Start one of them; also again, after it was killed: what it knows is on disk."""
    commands: dict[str, list[str | Path]] = {
        "etcd": etcd(paths),
        "kube-apiserver": [programs / "kube-apiserver", *api_server(paths)],
        "kube-controller-manager": [programs / "kube-controller-manager", *controller_manager(paths)],
        "kube-scheduler": [programs / "kube-scheduler", *scheduler(paths)],
    }
    start(paths, role, commands[role])


def etcd(paths: ClusterPaths) -> list[str | Path]:
    """Debian's etcd 3.4. The certificate is its own authority, so only who has its key can talk to it."""
    crt, key = paths.secrets / "etcd.crt", paths.secrets / "etcd.key"
    return [
        "etcd",
        f"--data-dir={paths.etcd}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        *("--client-cert-auth", f"--trusted-ca-file={crt}", f"--cert-file={crt}", f"--key-file={key}"),
        *("--peer-client-cert-auth", f"--peer-trusted-ca-file={crt}"),
        *(f"--peer-cert-file={crt}", f"--peer-key-file={key}"),
        "--quota-backend-bytes=8589934592",
        "--logger=zap",
    ]


def api_server(paths: ClusterPaths) -> list[str]:
    """Options. Timings are those of a cluster whose nodes die for a living."""
    secrets = paths.secrets
    policy = secrets / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    return [
        f"--bind-address={HOST}",
        f"--advertise-address={HOST}",
        "--secure-port=6443",
        f"--tls-cert-file={secrets / 'apiserver.crt'}",
        f"--tls-private-key-file={secrets / 'apiserver.key'}",
        f"--cert-dir={secrets}",
        f"--etcd-servers={ETCD}",
        f"--etcd-cafile={secrets / 'etcd.crt'}",
        f"--etcd-certfile={secrets / 'etcd.crt'}",
        f"--etcd-keyfile={secrets / 'etcd.key'}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={secrets / 'service-accounts.key'}",
        f"--service-account-signing-key-file={secrets / 'service-accounts.key'}",
        f"--token-auth-file={secrets / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--anonymous-auth=true",  # RBAC lets nobody's requests see health and version, nothing else
        f"--kubelet-client-certificate={secrets / 'kubelet-client.crt'}",
        f"--kubelet-client-key={secrets / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--enable-aggregator-routing=true",  # webhooks are dialled at their pods: the machine has no kube-proxy
        "--allow-privileged=true",
        "--feature-gates=MutatingAdmissionPolicy=true",
        "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={paths.audit}",
    ]


def controller_manager(paths: ClusterPaths) -> list[str]:
    """Options. A node is NotReady after 12 s without a lease, which its kubelet renews every 2 s."""
    return [
        *as_user(paths, "kube-controller-manager"),
        "--authentication-tolerate-lookup-failure=true",  # it may come up before the API server has its roles
        f"--service-account-private-key-file={paths.secrets / 'service-accounts.key'}",
        f"--root-ca-file={paths.secrets / 'apiserver.crt'}",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={POD_NETWORK}",
        "--allocate-node-cidrs=false",
        "--node-monitor-grace-period=12s",
        "--node-monitor-period=2s",
        *("--kube-api-qps=1000", "--kube-api-burst=2000"),
    ]


def scheduler(paths: ClusterPaths) -> list[str]:
    """Options."""
    return [*as_user(paths, "kube-scheduler"), "--kube-api-qps=1000", "--kube-api-burst=2000"]


def as_user(paths: ClusterPaths, role: str) -> list[str]:
    """What both clients of the API server need; their own pages are for this machine only."""
    config = paths.secrets / f"{role}.kubeconfig"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    ]
