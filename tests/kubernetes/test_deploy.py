"""deploy/ renders, brings no secret, and grants as little as it can."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.kits import REPOSITORY

DEPLOY = REPOSITORY / "deploy"

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module", params=["base", "gateway", "responder"])
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(part: str) -> Objects:
    """What kustomize makes of it, by kind and name."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl, which has kustomize in it")
    command = [kubectl, "kustomize", str(DEPLOY / part)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def test_no_secret_is_committed(objects: Objects) -> None:
    assert not [name for kind, name in objects if kind == "Secret"]


def test_nothing_may_do_everything(objects: Objects) -> None:
    rules = [rule for one in objects.values() for rule in one.get("rules") or ()]
    asked = {item for rule in rules for field in ("verbs", "resources", "apiGroups") for item in rule[field]}
    assert "*" not in asked
    assert not asked & {"escalate", "bind", "impersonate"}
    kinds = {kind for kind, _ in objects}
    assert "Secret" not in kinds
    assert all(rule.get("resourceNames") for rule in rules if "secrets" in rule["resources"])


def test_every_container_cannot_change_its_image_and_only_kernel_log_users_are_privileged(
    objects: Objects,
) -> None:
    for one in objects.values():
        pod = one.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        host_paths = {volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert bool(security.get("privileged")) == ("/dev/kmsg" in host_paths)
        assert not pod.get("hostNetwork")


def test_the_agent_has_no_rights_and_no_token_of_the_cluster(objects: Objects, part: str) -> None:
    if part != "base":
        pytest.skip("the agent is in base")
    subjects = [s["name"] for one in objects.values() for s in one.get("subjects") or ()]
    assert "offbus-agent" not in subjects
    pod = objects["DaemonSet", "offbus-agent"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
