"""A drill that would trip the responder's circuit breaker is refused; one that may, says so, and is looked at after."""

from pathlib import Path
from typing import Any

import pytest

from offbus.errors import GuardRefused
from offbus.runner.fingerprint_diff import differences
from offbus_steps.cluster.preflight import DrillPreflight, drill_checks
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.inject.undo_breaker import CheckBreaker
from offbus_steps.nvsentinel import names
from offbus_steps.port import Forbidden, Object, Ref
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.steps.faults import TARGET
from tests.kits.steps.intents import intent_of
from tests.kits.steps.timed_port import deployment, node, timed_bench
from tests.kits.virtual_time import in_virtual_time
from tests.steps.inject.test_attention_in_time import agent, gpu_pod

STATE = Ref("ConfigMap", "circuit-breaker", "nvsentinel")
RESET = (
    """kubectl -n nvsentinel patch configmap circuit-breaker -p '{"data": {"status": "CLOSED"}}' && """
    "kubectl -n nvsentinel rollout restart deployment fault-quarantine"
)


def gpu_node(name: str) -> Object:
    one = node(name)
    one["metadata"]["labels"] = {names.GPU_PRESENT: "true"}
    one["status"]["allocatable"] = {"nvidia.com/gpu": "2"}
    return one


def quarantine(*args: str) -> Object:
    made = deployment("fault-quarantine", 1)
    made["metadata"]["namespace"] = "nvsentinel"
    made["spec"]["template"]["spec"]["containers"] = [
        {"name": "fault-quarantine", "image": "none", "args": list(args)}
    ]
    return made


def state(status: str) -> Object:
    metadata = {"name": STATE.name, "namespace": STATE.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"status": status}}


def cluster(nodes: int, *args: str) -> list[Object]:
    """Two pods with a GPU each on the first of these nodes, and NVSentinel."""
    named = [gpu_node(f"node-{number + 1}") for number in range(nodes)]
    return [*named, deployment("web", 2), gpu_pod(0), gpu_pod(1), quarantine(*args)]


def guards(breaker: Any = "forbid") -> ClusterGuards:
    return ClusterGuards(real_remediation="allow", responder_breaker=breaker)


@in_virtual_time
async def test_a_drill_that_would_trip_it_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(2), guards=guards()) as (one, port):
        port.agents.answer = agent
        with pytest.raises(GuardRefused) as refused:
            await one.run(INJECT_XID, target=TARGET, xid=79)
        assert refused.value.message == (
            "guard responder_breaker: NVSentinel (Deployment/nvsentinel/fault-quarantine) would stop answering any "
            "fault, as its circuit breaker would trip: node-1 (by this drill) make 1 cordoned; 1 of 2 GPU nodes "
            "cordoned within 5m trip it (50 %: the documented default; 5m: the documented default)"
        )
        assert refused.value.hint == (
            "wait 5m after the last cordon, or use a node that is counted already, or set guards.responder_breaker "
            "to allow"
        )
        assert one.undos == []
        assert port.agents.times("POST /faults") == []


@pytest.mark.parametrize(
    ("nodes", "xid", "args"),
    [(3, 79, ()), (2, 94, ()), (2, 79, ("--circuit-breaker-enabled=false",))],
    ids=["room for one", "a fault that cordons nobody", "a breaker that is off"],
)
@in_virtual_time
async def test_one_that_would_not_is_let(tmp_path: Path, nodes: int, xid: int, args: tuple[str, ...]) -> None:
    async with timed_bench(tmp_path, *cluster(nodes, *args), guards=guards()) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=xid)
        looked = [undo for undo in one.undos if isinstance(undo, CheckBreaker)]
        assert looked == ([CheckBreaker(namespaces=("nvsentinel",))] if nodes == 3 else [])


@in_virtual_time
async def test_a_tripped_one_refuses_and_tells_how_it_is_reset(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(3), state("TRIPPED"), guards=guards()) as (one, port):
        port.agents.answer = agent
        with pytest.raises(GuardRefused, match="is TRIPPED") as refused:
            await one.run(INJECT_XID, target=TARGET, xid=79)
        assert (
            refused.value.hint
            == f"find out why it tripped, then: {RESET}, or set guards.responder_breaker to allow"
        )


@in_virtual_time
async def test_what_may_not_be_read_is_refused_too(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(3), guards=guards()) as (one, port):
        port.agents.answer = agent
        port.objects.refusals["list ConfigMap"] = Forbidden("you may not list ConfigMaps")
        with pytest.raises(GuardRefused, match="cannot be determined: you may not list ConfigMaps"):
            await one.run(INJECT_XID, target=TARGET, xid=79)


@pytest.mark.parametrize("before", ["CLOSED", "TRIPPED"])
@pytest.mark.parametrize("after", ["CLOSED", "TRIPPED"])
@in_virtual_time
async def test_where_it_is_allowed_a_human_is_told_and_one_that_has_tripped_is_residue(
    tmp_path: Path, before: str, after: str
) -> None:
    async with timed_bench(tmp_path, *cluster(2), state(before), guards=guards("allow")) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=79)
        (told,) = one.events("needs_attention")
        assert ("would trip" in told["reason"], "is TRIPPED" in told["reason"]) == (
            before == "CLOSED",
            before == "TRIPPED",
        )
        port.store.patch(STATE, {"data": {"status": after}})
        looked = [undo for undo in one.undos if isinstance(undo, CheckBreaker)]
        assert len(looked) == (before == "CLOSED")
        for undo in looked:
            result = await one.undo(undo)
            assert result.result == ("conflict" if after == "TRIPPED" else "nothing")
            assert (RESET in result.detail) == (after == "TRIPPED")


@in_virtual_time
async def test_one_that_has_tripped_in_a_runs_own_sandbox_ends_with_it(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(2), guards=guards("allow")) as (one, port):
        port.agents.answer = agent
        one.cluster.ends_with_run = True
        await one.run(INJECT_XID, target=TARGET, xid=79)
        before = await one.cluster.fingerprint()
        port.store.create(state("TRIPPED"))
        (look,) = [undo for undo in one.undos if isinstance(undo, CheckBreaker)]
        result = await one.undo(look)
        assert (result.result, result.detail) == (
            "nothing",
            "it has tripped, and ends with the run's own sandbox",
        )
        *_, told = one.events("needs_attention")
        assert "is TRIPPED" in told["reason"]
        assert differences(before, await one.cluster.fingerprint()) == []


@in_virtual_time
async def test_in_a_kept_sandbox_the_command_that_takes_it_down_is_named(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(2), guards=guards("allow")) as (one, port):
        port.agents.answer = agent
        one.cluster.take_down = "offbus local down --name two"
        await one.run(INJECT_XID, target=TARGET, xid=79)
        port.store.create(state("TRIPPED"))
        (look,) = [undo for undo in one.undos if isinstance(undo, CheckBreaker)]
        result = await one.undo(look)
        assert result.result == "conflict"
        assert result.detail.endswith("then: offbus local down --name two")


@in_virtual_time
async def test_it_is_looked_at_once_in_a_run_after_everything_else(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(3), guards=guards()) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=79, gpus=[0])
        await one.run(INJECT_XID, target=TARGET, xid=79, gpus=[1])
        assert [number for number, undo in enumerate(one.undos) if isinstance(undo, CheckBreaker)] == [0]


@pytest.mark.parametrize(
    ("nodes", "breaker", "stops"), [(3, "forbid", True), (5, "forbid", False), (3, "allow", False)]
)
@in_virtual_time
async def test_a_run_stops_when_cordons_for_other_faults_use_up_the_room(
    tmp_path: Path, nodes: int, breaker: str, *, stops: bool
) -> None:
    async with timed_bench(tmp_path, *cluster(nodes), guards=guards(breaker)) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=79)
        for node in ("node-1", "node-3"):  # the drill's own, which counts already, and another
            assert one.aborted == []
            port.store.patch(
                Ref("Node", node), {"metadata": {"annotations": {names.CORDONED_ANNOTATION: "True"}}}
            )
            await one.cluster.log.until(lambda world, node=node: bool(world.node(node).annotations) or None)
        assert [
            "has cordoned node-3, too, and its circuit breaker is about to trip: 2 of 3 GPU nodes" in why
            for why in one.aborted[:1]
        ] == [True] * stops


@in_virtual_time
async def test_a_cordon_from_before_the_window_stops_no_run(tmp_path: Path) -> None:
    """The annotation of a node that the responder cordoned long ago still stands; it does not count any more."""
    objects = cluster(3)
    objects[2]["metadata"]["annotations"] = {names.CORDONED_ANNOTATION: "True"}
    async with timed_bench(tmp_path, *objects, guards=guards()) as (one, port):
        port.agents.answer = agent
        await one.run(INJECT_XID, target=TARGET, xid=79)
        port.store.patch(
            Ref("Node", "node-1"), {"metadata": {"annotations": {names.CORDONED_ANNOTATION: "True"}}}
        )
        await one.cluster.log.until(lambda world: bool(world.node("node-1").annotations) or None)
        assert one.aborted == []


@in_virtual_time
async def test_a_tripped_one_is_in_the_fingerprint_as_somebody_s_or_this_run_s(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(3), state("CLOSED"), guards=guards()) as (one, port):
        before = await one.cluster.fingerprint()
        port.store.patch(STATE, {"data": {"status": "TRIPPED"}})
        after = await one.cluster.fingerprint()
        ((item, told),) = differences(before, after)
        assert (item, told) == (f"{STATE} circuit breaker tripped", "was not there, is True")
        mine = CheckBreaker(namespaces=(STATE.namespace,))
        other = CheckBreaker(namespaces=("elsewhere",))
        for recorded, is_external in (([mine], False), (None, False), ([other], True), ([], True)):
            why = one.cluster.external_change(item, before, after, recorded)
            assert (why is not None) == is_external
        assert one.cluster.external_change(item, after, before, [mine]) == "no drill resets it"


@in_virtual_time
async def test_plan_says_that_a_drill_would_be_refused(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, *cluster(2), guards=guards()) as (one, port):
        port.agents.answer = agent
        existing = {"kind": "Deployment", "name": "web", "namespace": "drill"}
        intents = [
            intent_of("deploy", "deploy", {"existing": existing, "port": 8000}),
            intent_of("inject", "inject_xid", {"xid": 79}),
        ]
        checks = await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents)
        (refused,) = (check for check in checks if check.level == "error")
        assert refused.text.startswith("guard responder_breaker: ")
