"""What is deployed decides what a drill may do, and every part of the stand-in's answer is awaited on the cluster."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kits.drill.playing import Offbus
from tests.kits.kubernetes.installing import REPOSITORY, ClusterPaths, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
RESPONSE = REPOSITORY / "tests/drill/response.yaml"
LIMIT_S = 600


@pytest.fixture
def command(tmp_path: Any) -> Offbus:
    """The command."""
    return Offbus(tmp_path, LIMIT_S)


def on(paths: ClusterPaths) -> list[str]:
    """The options that choose this cluster."""
    return ["--env", "kubernetes", "--env-set", f"kubeconfig={paths.kubeconfig}"]


def deployment(name: str, container: dict[str, Any], config: str = "") -> dict[str, Any]:
    """A part of NVSentinel as its chart deploys it; its pods find no node here."""
    labels = {"app.kubernetes.io/name": name}
    pod = {"nodeSelector": {"offbus.test/nowhere": "true"}, "containers": [{**container, "image": "none"}]}
    if config:
        pod["volumes"] = [{"name": "config", "configMap": {"name": config}}]
    spec = {"replicas": 1, "selector": {"matchLabels": labels}}
    spec["template"] = {"metadata": {"labels": labels}, "spec": pod}
    meta = {"name": name, "namespace": "nvsentinel"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@pytest.fixture
def real_janitor(drill_paths: ClusterPaths) -> Iterator[None]:
    """NVSentinel's janitor with a provider that reboots machines."""
    meta = {"name": "janitor", "namespace": "nvsentinel"}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {"config.yaml": "global: {}"},
    }
    csp = {"name": "janitor-provider", "env": [{"name": "CSP", "value": "aws"}]}
    items = [
        config,
        deployment("janitor", {"name": "janitor"}, "janitor"),
        deployment("janitor-provider", csp),
    ]
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl(drill_paths, "apply", "-f", "-", given=objects)
    yield
    kubectl(drill_paths, "delete", "-f", "-", given=objects)


def test_the_whole_answer_is_awaited_and_timed(drill_paths: ClusterPaths, command: Offbus) -> None:
    finished = command.run(RESPONSE, *on(drill_paths))
    assert finished.code == 0, finished.output
    node = finished.step("line")["outputs"]["node"]
    assert finished.step("repaired")["outputs"]["resource"].startswith(f"RebootNode/maintenance-{node}-")
    assert finished.report["residue"] == []


@pytest.mark.usefixtures("real_janitor")
def test_a_janitor_that_would_really_reboot_is_refused_and_named(
    drill_paths: ClusterPaths, command: Offbus
) -> None:
    finished = command.run(RESPONSE, *on(drill_paths))
    assert finished.code == 3, finished.output
    assert "guard real_remediation" in finished.output
    assert "janitor (Deployment/nvsentinel/janitor, provider aws) would really carry out the RebootNode" in (
        finished.output
    )
    assert finished.report["faults"] == []
    assert finished.report["residue"] == []
