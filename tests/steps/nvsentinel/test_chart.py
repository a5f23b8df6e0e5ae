"""What `plan` says of NVSentinel as its chart deploys it: each configuration by its words, with where they stand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError
from offbus.preflight import Intent, PreflightCheck
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_steps.cluster.preflight import DrillPreflight, drill_checks
from offbus_steps.inject.expected import Expected
from offbus_steps.inject.remediation_checks import remediation_checks
from offbus_steps.nvsentinel.deployed import deployed_in
from offbus_steps.nvsentinel.dry_run import parts_of
from offbus_steps.nvsentinel.parts import Act
from offbus_steps.nvsentinel.settings import checks_of, dry_run_checks
from offbus_steps.safety.guards import ClusterGuards
from tests.kits.nvsentinel_chart import CHANGES, rendered
from tests.kits.steps.intents import intent_of
from tests.kits.steps.timed_port import put, timed_bench
from tests.kits.virtual_time import in_virtual_time
from tests.steps.inject.test_attention_in_time import agent, deployment, gpu_pod
from tests.steps.inject.test_breaker_in_time import gpu_node

DRAINER = "NVSentinel's node-drainer (Deployment/nvsentinel/node-drainer)"
CONNECTORS = "ConfigMap/nvsentinel/platform-connectors"
PIPELINE = f"{CONNECTORS} config.json pipeline[Deduplicator].enabled"
QUARANTINE = "ConfigMap/nvsentinel/fault-quarantine config.toml"
MODES = "ConfigMap/nvsentinel/node-drainer config.toml"
MAPPING = "ConfigMap/nvsentinel/fault-remediation config.toml remediationActions"
REMEDIATION = "NVSentinel's fault-remediation (Deployment/nvsentinel/fault-remediation)"
PROVIDER = "(provider: Deployment/nvsentinel/janitor-provider env CSP)"
JANITOR = "NVSentinel's janitor (Deployment/nvsentinel/janitor, provider {})"
BREAKER = (
    "its circuit breaker is closed (ConfigMap/nvsentinel/circuit-breaker status): 2 of 3 GPU nodes cordoned within 5m "
    f"trip it (50 %: {QUARANTINE} circuitBreaker.percentage; 5m: {QUARANTINE} circuitBreaker.duration)"
)
NO_DEDUP = f"its deduplicator is off ({PIPELINE}): a repetition of an XID counts again"
KIND = (
    f"{JANITOR.format('kind')} really carries out TerminateNode and GPUReset, does not really carry out RebootNode "
    f"{PROVIDER}"
)
ALLOW = f"{DRAINER} drains namespace *: AllowCompletion ({MODES} userNamespaces[0].mode)"
REBOOT = f"for COMPONENT_RESET {REMEDIATION} requests a RebootNode ({MAPPING}.COMPONENT_RESET.kind)"
USUAL = {
    BREAKER,
    NO_DEDUP,
    KIND,
    ALLOW,
    REBOOT,
    "the deployed responders would not really reboot or reset a machine",
}


def without(*texts: str) -> set[str]:
    """What is usual, but for these."""
    return USUAL - set(texts)


SAYS: Mapping[str, set[str]] = {
    "default": USUAL,
    "Immediate": {
        *without(ALLOW),
        f"{DRAINER} drains namespace *: Immediate ({MODES} userNamespaces[0].mode)",
    },
    "AllowCompletion for some": {
        *without(ALLOW),
        f"{DRAINER} drains namespace *: DeleteAfterTimeout ({MODES} userNamespaces[0].mode)",
        f"{DRAINER} drains namespace drill-*: AllowCompletion ({MODES} userNamespaces[1].mode)",
        f"{DRAINER} drains namespace batch: AllowCompletion ({MODES} userNamespaces[2].mode)",
    },
    "pod policies": {
        *without(ALLOW),
        f"{DRAINER} drains namespace drill-*, app=web: Immediate ({MODES} podDrainPolicies[0].mode)",
    },
    "dedup on": {
        *without(NO_DEDUP),
        (
            "it ignores the same XID on the same GPU within its deduplication window "
            f"(3m: {CONNECTORS} dedup.toml suppressionWindow; on: {PIPELINE})"
        ),
    },
    "dry run": {
        *without(REBOOT),
        *(
            f"NVSentinel's {part} is in dry run (Deployment/nvsentinel/{part} --dry-run): "
            "it sets marks, and changes nothing"
            for part in ("fault-quarantine", "node-drainer", "fault-remediation")
        ),
    },
    "breaker off": {
        *without(BREAKER),
        "its circuit breaker is off (Deployment/nvsentinel/fault-quarantine --circuit-breaker-enabled)",
    },
    "janitor aws": {
        *without(KIND, "the deployed responders would not really reboot or reset a machine"),
        f"{JANITOR.format('aws')} really carries out RebootNode and TerminateNode and GPUReset {PROVIDER}",
        f"real remediation: {JANITOR.format('aws')} would really carry out the RebootNode",
    },
    "reset by GPUReset": {
        *without(REBOOT, "the deployed responders would not really reboot or reset a machine"),
        f"for COMPONENT_RESET {REMEDIATION} requests a GPUReset ({MAPPING}.COMPONENT_RESET.kind)",
        f"real remediation: {JANITOR.format('kind')} would really carry out the GPUReset",
    },
    "validation": {
        *USUAL,
        f"it validates a repaired node before it uncordons it ({QUARANTINE} validation.enabled): minutes more",
    },
    "overrides": {
        *USUAL,
        (
            "the rule ignore XID 94 may change what is recommended: isFatal = False, recommendedAction = NONE "
            f"({CONNECTORS} overrides.toml rules[0])"
        ),
    },
}
PARTS = {
    f"NVSentinel's {one} in nvsentinel" for one in ("fault-quarantine", "node-drainer", "fault-remediation")
}


def of_kind(objects: Sequence[Any], kind: str) -> list[Any]:
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("name", CHANGES)
def test_each_configuration_is_told_in_words_with_the_object_and_key(name: str) -> None:
    objects = rendered(name)
    deployments, maps = of_kind(objects, "Deployment"), of_kind(objects, "ConfigMap")
    nodes = [gpu_node(f"node-{number}") for number in range(3)]
    found = {one.text for one in checks_of(deployments, maps, nodes)} - PARTS
    reset = Expected("node-1", ("COMPONENT_RESET",))
    of_drill = list(remediation_checks("step inject", 119, [reset], deployed_in(deployments, maps)))
    told = {one.text for one in of_drill[1:] if "RESTART_VM" not in one.text}
    assert found | told == SAYS[name]


def of_drain(checks: Sequence[PreflightCheck]) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in checks if one.topic == "step drain"]


@pytest.mark.parametrize(
    ("name", "level", "told"),
    [
        ("default", "error", f"AllowCompletion ({MODES} userNamespaces[0].mode): it waits for ever"),
        ("Immediate", "info", f"Immediate ({MODES} userNamespaces[0].mode)"),
        ("AllowCompletion for some", "warning", f"DeleteAfterTimeout ({MODES} userNamespaces[0].mode)"),
        ("pod policies", "error", "drains no pods of drill"),
    ],
)
@in_virtual_time
async def test_a_drain_that_never_ends_is_an_error_of_the_plan(
    tmp_path: Path, name: str, level: str, told: str
) -> None:
    objects = [
        gpu_node("node-1"),
        gpu_node("node-2"),
        gpu_node("node-3"),
        deployment("web", 2),
        gpu_pod(0),
        gpu_pod(1),
    ]
    async with timed_bench(tmp_path, *objects, guards=ClusterGuards(real_remediation="allow")) as (one, port):
        port.agents.answer = agent
        for made in rendered(name):
            put(port.store, made)
        existing = {"kind": "Deployment", "name": "web", "namespace": "drill"}
        intents = [
            intent_of("deploy", "deploy", {"existing": existing, "port": 8000}),
            intent_of("inject", "inject_xid", {"xid": 79}),
            intent_of("drain", "await_drain", {}),
        ]
        ((found, text),) = of_drain(await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents))
        assert found == level
        assert told in text


@pytest.mark.parametrize(("name", "refused"), [("default", True), ("validation", False)])
@in_virtual_time
async def test_a_validation_that_the_responder_does_not_do_is_refused_in_a_plan(
    tmp_path: Path, name: str, refused: bool
) -> None:
    async with timed_bench(tmp_path, gpu_node("node-1")) as (one, port):
        for made in rendered(name):
            put(port.store, made)
        intents = [intent_of("tested", "await_validation", {})]
        found = await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents)
        assert [(each.topic, each.level) for each in found] == [("step tested", "error")] * refused
        for each in found:
            assert each.text == (
                "NVSentinel (Deployment/nvsentinel/fault-quarantine) has no validation stage "
                f"({QUARANTINE} validation.enabled): await_validation cannot pass"
            )
            assert each.hint is not None
            assert "fault-quarantine.validation.enabled" in each.hint


@pytest.mark.parametrize(
    ("step", "part"),
    [
        ("await_cordon", "fault-quarantine"),
        ("await_uncordon", "fault-quarantine"),
        ("await_validation", "fault-quarantine"),
        ("await_drain", "node-drainer"),
        ("await_remediation", "fault-remediation"),
        ("await_detection", None),
        ("await_quarantine", None),
    ],
)
@in_virtual_time
async def test_what_a_dry_run_does_not_do_is_refused_in_a_plan(
    tmp_path: Path, step: str, part: str | None
) -> None:
    async with timed_bench(tmp_path, gpu_node("node-1")) as (one, port):
        for made in rendered("dry run"):
            put(port.store, made)
        intents = [intent_of("it", step, {})]
        found = await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents)
        assert [(each.level, each.text) for each in found] == [
            (
                "error",
                f"NVSentinel's {part} is in dry run (Deployment/nvsentinel/{part} --dry-run): {step} cannot pass",
            )
        ] * (part is not None)
        for each in found:
            assert each.hint is not None
            assert f"leave {step} out" in each.hint


async def watch_it(ctx: Context, params: Params) -> Outputs:
    raise NotImplementedError


def third_partys(waits_for: Sequence[Act]) -> StepType:
    """A step type of another package, which has no preflight of its own."""
    return StepType(
        name="watch_it",
        kind=Kind.OBSERVATION,
        summary="Wait for the responder.",
        params=Params,
        outputs=Outputs,
        run=watch_it,
        waits_for=waits_for,
    )


@pytest.mark.parametrize(
    ("waits_for", "part"),
    [((Act.DRAIN,), "node-drainer"), ((Act.REPAIR, Act.UNCORDON), "fault-quarantine"), ((), None)],
    ids=["one", "several", "none"],
)
@in_virtual_time
async def test_a_third_partys_step_that_waits_for_what_a_dry_run_leaves_out_is_refused_too(
    tmp_path: Path, waits_for: Sequence[Act], part: str | None
) -> None:
    kind = third_partys(waits_for)
    async with timed_bench(tmp_path, gpu_node("node-1")) as (one, port):
        for made in rendered("dry run"):
            put(port.store, made)
        intents = [Intent("it", kind.name, {}, kind.load_preflight(), kind.waits_for)]
        found = await drill_checks(DrillPreflight(one.cluster, str(tmp_path)), intents)
        words = f"NVSentinel's {part} is in dry run (Deployment/nvsentinel/{part} --dry-run): watch_it cannot pass"
        assert [(each.level, each.text) for each in found] == [("error", words)] * (part is not None)
        one.cluster.responder_parts = await parts_of(port.objects, "nvsentinel")
        if part is None:
            one.cluster.require_acting(kind)
        else:
            with pytest.raises(StepError, match="watch_it cannot pass"):
                one.cluster.require_acting(kind)


@pytest.mark.parametrize(("name", "acting"), [("dry run", 0), ("default", 3)])
@in_virtual_time
async def test_a_drill_that_counts_on_a_dry_run_is_refused_where_there_is_none(
    tmp_path: Path, name: str, acting: int
) -> None:
    async with timed_bench(tmp_path, gpu_node("node-1")) as (_, port):
        for made in rendered(name):
            put(port.store, made)
        found = await dry_run_checks(port.objects, "nvsentinel")
        assert [each.level for each in found] == ["error"] * acting
        assert all("is not in dry run (Deployment/nvsentinel/" in each.text for each in found)


@in_virtual_time
async def test_a_drill_that_counts_on_a_dry_run_is_refused_where_nothing_is_known(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, gpu_node("node-1")) as (_, port):
        (found,) = await dry_run_checks(port.objects, "nvsentinel")
        assert found.text.endswith("no responder is known to be in dry run")


def test_the_default_of_a_chart_that_says_nothing_is_to_wait(tmp_path: Path) -> None:
    deployments = of_kind(rendered("default"), "Deployment")
    texts = [one.text for one in checks_of(deployments, [], [])]
    assert f"{DRAINER} drains namespace *: AllowCompletion (the documented default)" in texts
    assert "no deduplicator is configured: a repetition of an XID counts again" in texts
