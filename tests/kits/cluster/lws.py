"""LeaderWorkerSet's real controllers, beside an API server on this machine: their definitions, webhooks and command.

The webhooks are dialled on loopback, with a certificate that only their configuration trusts; the module's own way
(certificates that it makes itself, for a Service) needs a cluster network.
"""

import base64
from pathlib import Path
from typing import Any

import yaml

from tests.kits.cluster.credentials import certificate
from tests.kits.cluster.programs import LWS, build, files_of

__all__ = ["lws", "lws_definition", "lws_webhooks"]

MODULE = "sigs.k8s.io/lws"


def lws_definition() -> dict[str, Any]:
    """The custom resource. Raises ClusterError."""
    path = files_of(LWS, MODULE) / "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"
    definition: dict[str, Any] = yaml.safe_load(path.read_text())
    return definition


def lws_webhooks(folder: Path, port: int) -> list[dict[str, Any]]:
    """Their configurations, after `lws` made the certificate. Without them, pods are not told apart."""
    trusted = base64.b64encode((folder / "tls.crt").read_bytes()).decode()
    found = list(yaml.safe_load_all((files_of(LWS, MODULE) / "config/webhook/manifests.yaml").read_text()))
    for hook in (one for configuration in found for one in configuration["webhooks"]):
        path = hook["clientConfig"]["service"]["path"]
        hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}{path}", "caBundle": trusted}
    return found


def lws(folder: Path, kubeconfig: Path, port: int) -> list[str]:
    """The command that runs them; writes certificate and configuration to `folder`. Raises ClusterError."""
    certificate(folder, "tls", "IP:127.0.0.1")
    webhook = {"host": "127.0.0.1", "port": port, "certDir": str(folder)}
    configuration = {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "health": {"healthProbeBindAddress": "0"},
        "metrics": {"bindAddress": "0"},
        "webhook": webhook,
    }
    (folder / "lws.yaml").write_text(yaml.safe_dump(configuration))
    return [str(build(LWS) / "cmd"), f"--kubeconfig={kubeconfig}", f"--config={folder / 'lws.yaml'}"]
