"""What would really be done to a node is read from what is deployed; what cannot be told counts as real."""

import json
from typing import Any

import pytest
import yaml

from offbus_steps.nvsentinel.deployed import deployed_in
from offbus_steps.port import Object

REBOOT, RESET = "RESTART_BM", "COMPONENT_RESET"
ACTIONS = """
[maintenance.actions.RESTART_BM]
apiGroup = "janitor.dgxc.nvidia.com"
kind = "RebootNode"
"""


def deployment(
    container: dict[str, Any], *, name: str = "any", replicas: int = 1, config: str = ""
) -> Object:
    """A Deployment in namespace `nvsentinel` with one container, which mounts the ConfigMap `config`."""
    volumes = [{"name": "config", "configMap": {"name": config}}] if config else []
    spec = {"replicas": replicas, "template": {"spec": {"containers": [container], "volumes": volumes}}}
    return {"metadata": {"name": name, "namespace": "nvsentinel"}, "spec": spec}


def config_map(name: str, file: str, text: str, namespace: str = "nvsentinel") -> Object:
    """A ConfigMap of one file."""
    return {"metadata": {"name": name, "namespace": namespace}, "data": {file: text}}


def remediation(*, dry_run: bool = False, replicas: int = 1) -> Object:
    """NVSentinel's fault-remediation, as its chart makes it."""
    container = {"name": "fault-remediation", "args": [f"--dry-run={str(dry_run).lower()}"]}
    return deployment(container, name="fault-remediation", replicas=replicas, config="fault-remediation")


def janitor(replicas: int = 1) -> Object:
    """Its janitor."""
    return deployment({"name": "janitor"}, name="janitor", replicas=replicas, config="janitor")


def janitor_config(**controllers: Any) -> Object:
    """Of the janitor."""
    return config_map("janitor", "config.yaml", yaml.safe_dump(controllers))


def provider(csp: str) -> Object:
    """Its provider."""
    env = [{"name": "CSP", "value": csp}]
    return deployment({"name": "janitor-provider", "env": env}, name="janitor-provider")


def standin(**config: str) -> list[Object]:
    """The stand-in's controller and its configuration."""
    command = ["python3", "-m", "offbus_sandbox.responder", "controller"]
    container = {"name": "controller", "command": command}
    return [
        deployment(container, name="standin-controller", config="responder-1"),
        config_map("responder-1", "config.json", json.dumps(config)),
    ]


def real(action: str, *objects: Object) -> list[str]:
    """Why it would be done."""
    maps = [one for one in objects if "data" in one]
    return deployed_in([one for one in objects if "data" not in one], maps).real(action)


def test_a_janitor_with_a_real_provider_is_named() -> None:
    found = real(REBOOT, remediation(), janitor(), janitor_config(), provider("aws"))
    assert found == [
        "NVSentinel's janitor (Deployment/nvsentinel/janitor, provider aws) would really carry out the RebootNode"
    ]


@pytest.mark.parametrize(
    "objects",
    [
        [remediation(dry_run=True), janitor(), janitor_config(), provider("aws")],
        [remediation(), janitor(), janitor_config(**{"global": {"manualMode": True}}), provider("aws")],
        [remediation(), janitor(), janitor_config(rebootNodeController={"enabled": False}), provider("aws")],
        [
            remediation(),
            janitor(),
            janitor_config(rebootNodeController={"manualMode": True}),
            provider("aws"),
        ],
        [remediation(), janitor(), janitor_config(), provider("kwok")],
        standin(janitor="simulate"),
        [remediation(replicas=0), *standin(janitor="simulate"), janitor(replicas=0)],
    ],
    ids=["dry run", "manual", "controller off", "controller manual", "kwok", "stand-in", "scaled down"],
)
def test_nothing_real_would_be_done(objects: list[Object]) -> None:
    assert real(REBOOT, *objects) == []


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([], "no responder that offbus knows is deployed"),
        ([remediation()], "what carries that out cannot be determined"),
        ([remediation(), janitor(), provider("kind")], "it mounts no config.yaml"),
        (
            [remediation(), janitor(), config_map("janitor", "config.yaml", "["), provider("kind")],
            "cannot be read",
        ),
        ([remediation(), janitor(), janitor_config()], "provider unknown) would really"),
        (
            [remediation(), janitor(), config_map("janitor", "config.yaml", "{}", "other")],
            "mounts no config.yaml",
        ),
        (
            standin(janitor="manual"),
            "the stand-in responder (Deployment/nvsentinel/standin-controller) would request",
        ),
        (standin(), "the stand-in responder (Deployment/nvsentinel/standin-controller) would request"),
        (
            [*standin(janitor="simulate"), janitor(), janitor_config(), provider("gcp")],
            "provider gcp) would really",
        ),
        ([remediation(replicas=0), janitor(), janitor_config(), provider("gcp")], "no responder"),
    ],
    ids=[
        "nobody",
        "no janitor",
        "no configuration",
        "broken configuration",
        "no provider",
        "another namespace's",
        "manual stand-in",
        "stand-in that does not say",
        "real janitor beside the stand-in",
        "scaled down",
    ],
)
def test_what_cannot_be_told_counts_as_real(objects: list[Object], why: str) -> None:
    [found] = real(REBOOT, *objects)
    assert why in found


def test_a_reset_is_real_with_any_provider_and_may_become_a_reboot() -> None:
    found = real(RESET, remediation(), janitor(), janitor_config(), provider("kwok"))
    assert [one.rpartition(" ")[2] for one in found] == ["GPUReset"]
    found = real(RESET, remediation(), janitor(), janitor_config(), provider("aws"))
    assert [one.rpartition(" ")[2] for one in found] == ["GPUReset", "RebootNode"]


def test_its_own_list_of_actions_decides_what_is_asked_for() -> None:
    listed = config_map("fault-remediation", "config.toml", ACTIONS)
    world = (remediation(), janitor(), janitor_config(), provider("aws"), listed)
    assert len(real(REBOOT, *world)) == 1
    assert real(RESET, *world) == []
    custom = config_map("fault-remediation", "config.toml", ACTIONS.replace("RebootNode", "Ticket"))
    [found] = real(REBOOT, remediation(), janitor(), janitor_config(), provider("kwok"), custom)
    assert found.endswith("would request a Ticket, and what carries that out cannot be determined")


def test_support_is_contacted_without_touching_the_node() -> None:
    assert real("CONTACT_SUPPORT", remediation(), janitor(), janitor_config(), provider("aws")) == []


def test_what_is_listed_for_gpus_comes_before_the_rest_and_what_is_for_others_does_not_count() -> None:
    text = """
[remediationActions."COMPONENT_RESET"]
kind = "RebootNode"
[componentRemediationActions."GPU"."COMPONENT_RESET"]
kind = "GPUReset"
[componentRemediationActions."NIC"."RESTART_BM"]
kind = "Ticket"
"""
    world = (remediation(), janitor(), janitor_config(), provider("kind"))
    listed = config_map("fault-remediation", "config.toml", text)
    assert [one.rpartition(" ")[2] for one in real(RESET, *world, listed)] == ["GPUReset"]
    assert real(REBOOT, *world, listed) == []


def test_a_node_is_really_terminated_with_provider_kind_too() -> None:
    found = real("REPLACE_VM", remediation(), janitor(), janitor_config(), provider("kind"))
    assert [one.rpartition(" ")[2] for one in found] == ["TerminateNode"]
