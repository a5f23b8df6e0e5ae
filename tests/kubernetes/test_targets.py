"""Every kind of target on a real API server: read, patched for the shim, and restored to what it was."""

from typing import Any

import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Object, Ref
from offbus_steps.residue.patching import change, patch_fields
from offbus_steps.workloads.fields import Decision, Field, decide, restore
from offbus_steps.workloads.shim_fields import preload_fields
from offbus_steps.workloads.shim_mounts import LIBRARY
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.steps.manifests import agg, beta_agg, deployment, leader_worker_set, stateful_set

pytestmark = pytest.mark.anyio

TARGETS = {
    "deployment": deployment(),
    "stateful set": stateful_set(),
    "groups": leader_worker_set(),
    "groups of one template": leader_worker_set(own_leader=False),
    "graph v1alpha1": agg(),
    "graph v1beta1": beta_agg(),
}


@pytest.fixture(params=TARGETS.values(), ids=TARGETS.keys())
async def target(request: pytest.FixtureRequest, port: KubernetesPort, namespace: str) -> Object:
    """A target as the server gives it."""
    obj: dict[str, Any] = request.param
    made = await port.objects.create({**obj, "metadata": {"name": "t", "namespace": namespace}})
    return await port.objects.get(Ref(obj["kind"], made["metadata"]["name"], namespace))


async def prepared(port: KubernetesPort, target: Object) -> tuple[Object, list[Field]]:
    fields = preload_fields(workload_of(target), [], port.host_path)
    return await patch_fields(port.objects, target, fields), fields


@pytest.mark.guarantee("G20")
async def test_its_gpu_containers_get_the_shim_and_nothing_else_changes(
    port: KubernetesPort, target: Object
) -> None:
    patched, fields = await prepared(port, target)
    assert patched["metadata"]["generation"] == 2
    assert all(decide(patched, one) is Decision.RESTORE for one in fields)
    preloads = [one for one in fields if one.intended.get("name") == "LD_PRELOAD"]
    assert len(preloads) == len(workload_of(target).gpu_templates())
    assert str(patched["spec"]).count(LIBRARY) == len(preloads)
    assert restore(patched, fields)["spec"] == target["spec"]


@pytest.mark.guarantee("G20")
async def test_the_undo_leaves_what_others_wrote_meanwhile(port: KubernetesPort, target: Object) -> None:
    _, fields = await prepared(port, target)
    ref = Ref.of(target)
    await port.objects.patch(ref, {"metadata": {"annotations": {"theirs": "yes"}}})
    back = await change(port.objects, ref, lambda now: restore(now, fields))
    assert back["spec"] == target["spec"]
    assert back["metadata"]["annotations"] == {"theirs": "yes"}


async def test_it_is_found_and_named_as_a_target(target: Object) -> None:
    found = Target.of(workload_of(target), port=8000)
    assert found.ref == Ref.of(target)
    assert found.selector == dict(workload_of(target).selector)
