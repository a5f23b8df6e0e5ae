"""deploy/ renders, brings no secret, and grants as little as it can."""

from pathlib import Path
from typing import Any

import pytest

from tests.kits.kubernetes.deployed import deployed

Objects = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module", params=["base", "gateway", "responder", "webhook"])
def part(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def objects(part: str) -> Objects:
    """What kustomize makes of it, by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in deployed(part)}


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


def test_no_container_can_change_its_image_and_who_opens_the_kernel_log_alone_is_privileged(
    objects: Objects,
) -> None:
    for one in objects.values():
        pod = one.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        logs = {
            volume["name"]
            for volume in pod["volumes"]
            if volume.get("hostPath", {}).get("path") == "/dev/kmsg"
        }
        for container in pod["containers"]:
            security = container["securityContext"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert security["readOnlyRootFilesystem"]
            assert bool(security.get("privileged")) == bool(logs & mounted)
        assert not pod.get("hostNetwork")


def test_agent_and_helper_share_their_user_and_their_socket(objects: Objects, part: str) -> None:
    if part != "base":
        pytest.skip("the agent is in base")
    pod = objects["DaemonSet", "offbus-agent"]["spec"]["template"]["spec"]
    helper, agent = pod["containers"]
    user = agent["securityContext"]["runAsUser"]
    assert user == agent["securityContext"]["runAsGroup"] == pod["securityContext"]["fsGroup"]
    assert f"--uid={user}" in helper["args"]
    [socket] = [one.partition("=")[2] for one in agent["args"] if one.startswith("--kmsg-helper=")]
    assert f"--socket={socket}" in helper["args"]
    [folder] = [volume["name"] for volume in pod["volumes"] if "emptyDir" in volume]
    for container in (helper, agent):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts[folder] == str(Path(socket).parent)
    assert "token" not in {mount["name"] for mount in helper["volumeMounts"]}
    assert "kmsg" not in {mount["name"] for mount in agent["volumeMounts"]}


def test_the_agent_has_no_rights_and_no_token_of_the_cluster(objects: Objects, part: str) -> None:
    if part != "base":
        pytest.skip("the agent is in base")
    subjects = [s["name"] for one in objects.values() for s in one.get("subjects") or ()]
    assert "offbus-agent" not in subjects
    pod = objects["DaemonSet", "offbus-agent"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
