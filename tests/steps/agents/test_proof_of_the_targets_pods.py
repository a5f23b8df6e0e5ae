"""Only a process of the target's own pods proves a fault; labels alone make nobody one of them."""

from pathlib import Path

import pytest

from offbus_steps.agents.live_faults import LiveFault
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_port import deployment, node, pod, timed_bench
from tests.kits.virtual_time import in_virtual_time


@pytest.mark.parametrize(("namespace", "proves"), [("drill", True), ("tenant", False)])
@in_virtual_time
async def test_a_pod_with_the_targets_labels_in_another_namespace_proves_nothing(
    tmp_path: Path, namespace: str, *, proves: bool
) -> None:
    """It is seen when a step of the same drill has a target there."""
    made, theirs = pod("web-9", "web", "node-1"), deployment("web", 1)
    for obj in (made, theirs):
        obj["metadata"]["namespace"] = namespace
    drill = () if namespace == "drill" else (deployment("web", 1),)
    async with timed_bench(tmp_path, node("node-1"), *drill, theirs, made) as (one, _):
        for watched in ("drill", "tenant"):
            await one.cluster.observer.watch_target(TARGET.model_copy(update={"namespace": watched}))
        [seen] = one.cluster.log.pods_seen(0)
        call = {"plane": "cuda", "function": "cuInit", "code": 719, "code_name": "X", "pid": 7, "tid": 7}
        call |= {"host_pid": 4242, "pod_uid": seen.uid, "gpu": "GPU-1", "at_ns": 5}
        assert one.cluster.faults.called(LiveFault(FAULT, TARGET), call) is proves
