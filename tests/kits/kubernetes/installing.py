"""deploy/ on the test cluster: the manifests as they are, except for what an image would bring.

The image is made of the sources as they are and loaded on the nodes (kit.offbus_image), and the manifests are given its
name, as deploy/README.md tells users to. The agent finds its GPUs where the kit puts them. The objects are applied by
kubectl, as a user would.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kits import REPOSITORY
from tests.kits.cluster.lifecycle import programs
from tests.kits.cluster.offbus_image import load_offbus
from tests.kits.cluster.paths import ClusterPaths

LIMIT_S = 120
GPUS = "/run/standin-gpus/gpus.json"
"""Where the kit lists a node's stand-in GPUs; the agent looks for them at its root."""
RESPONDER_CONFIG = {"only_known_gpus": True}
"""Added to deploy/'s own: the nodes share one kernel log, so a detector must keep to its own node's GPUs."""


def kubectl(paths: ClusterPaths, *arguments: str, given: str | None = None) -> str:
    """What kubectl says. Raises AssertionError with its complaint."""
    command = [str(programs(paths) / "kubectl"), f"--kubeconfig={paths.kubeconfig}", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def install(paths: ClusterPaths, *parts: str) -> None:
    """Apply the custom resources and these folders of deploy/, make the token, and wait until all of it is ready."""
    for definition in sorted((Path(__file__).parent / "manifests").glob("*-crd.yaml")):
        kubectl(paths, "apply", "-f", str(definition))
    image = load_offbus(paths)
    for part in parts:
        objects = [adapted(one, image) for one in rendered(paths, part)]
        apply(paths, [one for one in objects if one["kind"] == "Namespace"])
        if part == "base":
            make_token(paths)
        apply(paths, objects)
        for one in objects:
            if one["kind"] in ("DaemonSet", "Deployment"):
                name = f"{one['kind'].lower()}/{one['metadata']['name']}"
                namespace = one["metadata"]["namespace"]
                kubectl(paths, "rollout", "status", name, "-n", namespace, f"--timeout={LIMIT_S - 10}s")


def configure_responder(paths: ClusterPaths, settings: Mapping[str, Any]) -> None:
    """Give the stand-in responder other settings, and wait until all of it runs by them."""
    parts = [one for one in rendered(paths, "responder") if one["kind"] in ("DaemonSet", "Deployment")]
    [volume] = {
        volume["configMap"]["name"]
        for one in parts
        for volume in one["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    config = {"config.json": json.dumps({"janitor": "simulate", **RESPONDER_CONFIG, **settings})}
    kubectl(paths, "patch", "configmap", volume, "-n", "nvsentinel", "-p", json.dumps({"data": config}))
    names = [f"{one['kind'].lower()}/{one['metadata']['name']}" for one in parts]
    kubectl(paths, "rollout", "restart", *names, "-n", "nvsentinel")
    for name in names:
        kubectl(paths, "rollout", "status", name, "-n", "nvsentinel", f"--timeout={LIMIT_S - 10}s")


def uninstall(paths: ClusterPaths, *parts: str) -> None:
    """Remove these folders of deploy/; the custom resources stay."""
    for part in reversed(parts):
        objects = {"apiVersion": "v1", "kind": "List", "items": rendered(paths, part)}
        kubectl(paths, "delete", "--ignore-not-found", "-f", "-", given=json.dumps(objects))


def make_token(paths: ClusterPaths) -> None:
    """The agents' token, by the command of deploy/README.md."""
    command = [sys.executable, "-m", "offbus_steps.kubernetes.token", "--kubeconfig", str(paths.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr


def rendered(paths: ClusterPaths, part: str) -> list[dict[str, Any]]:
    """What kustomize makes of a folder of deploy/."""
    text = kubectl(paths, "kustomize", str(REPOSITORY / "deploy" / part))
    return [one for one in yaml.safe_load_all(text) if one]


def apply(paths: ClusterPaths, objects: Iterable[dict[str, Any]]) -> None:
    """Apply objects, if there are any."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if listed["items"]:
        kubectl(paths, "apply", "-f", "-", given=json.dumps(listed))


def adapted(obj: dict[str, Any], image: str) -> dict[str, Any]:
    """An object as the test cluster can run it."""
    if obj["kind"] == "ConfigMap" and "config.json" in obj.get("data", {}):
        config = json.loads(obj["data"]["config.json"]) | RESPONDER_CONFIG
        return {**obj, "data": {"config.json": json.dumps(config)}}
    template = obj.get("spec", {}).get("template")
    if template is None:
        return obj
    pod = template["spec"]
    for container in pod["containers"]:
        container["image"] = image
        if container["name"] == "agent":
            pod["volumes"].append({"name": "gpus", "hostPath": {"path": GPUS, "type": "File"}})
            container["volumeMounts"].append({"name": "gpus", "mountPath": "/gpus.json", "readOnly": True})
    return obj
