"""What looks like a responder in a namespace in which others may write is not believed, and rules nothing out.

Whoever has `edit` in one namespace can deploy a container of any name there. The guards look at the responder's own
namespace (`guards.responder_namespace`), where its owners alone write.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import GuardRefused
from offbus_steps.port import Object, Port
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.timed_port import TimedPort, node, put
from tests.kits.virtual_time import in_virtual_time

THEIRS = "drill-a"


def part(
    container: str, *args: str, namespace: str = "nvsentinel", csp: str = "", config: str = ""
) -> Object:
    """A Deployment of one container."""
    env = [{"name": "CSP", "value": csp}] if csp else []
    volumes = [{"name": "c", "configMap": {"name": config}}] if config else []
    pod = {"containers": [{"name": container, "args": list(args), "env": env}], "volumes": volumes}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": container, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": container}},
            "template": {"metadata": {"labels": {"app": container}}, "spec": pod},
        },
    }


def config_map(name: str, namespace: str = "nvsentinel", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


REAL = (
    part("fault-remediation"),
    part("fault-quarantine"),
    part("janitor", config="janitor"),
    config_map("janitor", **{"config.yaml": "global: {manualMode: false}"}),
    part("janitor-provider", csp="aws"),
)


async def remediates(guards: ClusterGuards, port: Port) -> None:
    await guards.require_no_real_remediation(port, "node-1", "RESTART_BM")


async def trips(guards: ClusterGuards, port: Port) -> None:
    await guards.require_breaker_room(port.objects, ["node-1"])


Ask = Callable[[ClusterGuards, Port], Awaitable[None]]


async def asked(folder: Path, ask: Ask, *objects: Object, **guards: Any) -> str:
    """Why the guard refuses; "" when it does not."""
    port = TimedPort(folder)
    for number in range(1, 4):
        made = node(f"node-{number}")
        made["metadata"]["labels"] = {"nvidia.com/gpu.present": "true"}
        put(port.store, made)
    for one in objects:
        put(port.store, one)
    try:
        await ask(ClusterGuards(**guards), port)
    except GuardRefused as err:
        return f"{err.message} {err.hint}"
    finally:
        port.store.close()
    return ""


@in_virtual_time
async def test_a_provider_of_somebody_else_makes_no_real_reboot_a_pretended_one(tmp_path: Path) -> None:
    told = await asked(tmp_path, remediates, *REAL, part("janitor-provider", namespace=THEIRS, csp="kind"))
    assert "provider aws) would really carry out the RebootNode" in told


@in_virtual_time
async def test_providers_that_contradict_each_other_count_as_real(tmp_path: Path) -> None:
    second = part("janitor-provider", csp="kind")
    second["metadata"]["name"] = "another-provider"
    told = await asked(tmp_path, remediates, second, *REAL)
    assert "would really carry out the RebootNode" in told


@pytest.mark.parametrize("args", [["--dry-run=true"], []])
@in_virtual_time
async def test_a_responder_that_is_not_known_is_not_ruled_out_by_one_elsewhere(
    tmp_path: Path, args: list[str]
) -> None:
    fake = part("fault-remediation", *args, namespace=THEIRS)
    told = await asked(tmp_path, remediates, part("our-own-remediator"), fake)
    assert "Deployment/drill-a/fault-remediation looks like a part of a responder" in told
    assert "guards.responder_namespace" in told


@in_virtual_time
async def test_a_tripped_breaker_of_somebody_else_refuses_no_drill(tmp_path: Path) -> None:
    fakes = (
        part("fault-quarantine", namespace=THEIRS),
        config_map("circuit-breaker", namespace=THEIRS, status="TRIPPED"),
    )
    assert await asked(tmp_path, trips, *REAL, *fakes) == ""


@pytest.mark.parametrize(
    "real",
    [
        pytest.param(REAL, id="beside the real one"),
        pytest.param((), id="beside one that is not known"),
    ],
)
@in_virtual_time
async def test_a_breaker_that_is_off_elsewhere_hides_no_tripped_one(
    tmp_path: Path, real: tuple[Object, ...]
) -> None:
    fake = part("fault-quarantine", "--circuit-breaker-enabled=false", namespace=THEIRS)
    told = await asked(tmp_path, trips, *real, config_map("circuit-breaker", status="TRIPPED"), fake)
    assert "is TRIPPED" in told


@in_virtual_time
async def test_a_responder_in_another_namespace_is_told_by_the_guard(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    there = [{**one, "metadata": {**one["metadata"], "namespace": "gpu-health"}} for one in REAL]
    folders = [tmp_path_factory.mktemp("cluster") for _ in range(3)]
    told = await asked(folders[0], trips, *there)
    assert "Deployment/gpu-health/fault-quarantine" in told
    assert "guards.responder_namespace" in told
    assert await asked(folders[1], trips, *there, responder_namespace="gpu-health") == ""
    told = await asked(folders[2], remediates, *there, responder_namespace="gpu-health")
    assert "provider aws) would really carry out the RebootNode" in told
