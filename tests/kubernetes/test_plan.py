"""`offbus plan` on a real API server: it names what stands in the way, and writes nothing at all."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
import yaml

from offbus_sandbox.store.owners import owner_reference
from offbus_steps.kinds import KINDS
from offbus_steps.kubernetes.agents import KubernetesAgents
from offbus_steps.kubernetes.ownership.run_lease import RunLease
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.reaper import REAPER, reaper_rights
from offbus_steps.kubernetes.rbac.reaper_check import gaps
from offbus_steps.kubernetes.rbac.rights import roles
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.webhook.certificate import new_identity
from offbus_steps.port import Invalid, NotFound, Ref
from offbus_steps.prepare.webhook_configuration import CERTIFICATE
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION
from tests.kits.kubernetes.killed_runs import Process, offbus_process
from tests.kits.kubernetes.kubernetes_world import bind_role
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.kubernetes.pod_player import set_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

GPU = "GPU-00000000-0000-0000-0000-000000000001"


class Town:
    """Two GPU nodes with agents, a target with one GPU pod on the first, another tenant beside it."""

    def __init__(self, port: KubernetesPort, folder: Path, kubeconfig: Path) -> None:
        self.port = port
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.name = f"town-{uuid4().hex[:6]}"
        self.drills, self.agents, self.others = (
            f"{self.name}-{one}" for one in ("drill", "offbus", "tenant")
        )
        self.nodes = (f"{self.name}-1", f"{self.name}-2")
        self.daemons = ""
        """The uid of the agents' DaemonSet."""
        self.prepare: dict[str, Any] = {}
        """What stands below the step's `with`."""

    async def build(self) -> None:
        for one in (self.drills, self.agents, self.others):
            await self.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}})
        labels = {"app.kubernetes.io/name": "offbus-agent"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }
        daemons = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": self.agents, "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        path = f"/apis/apps/v1/namespaces/{self.agents}/daemonsets"
        self.daemons = (await self.port.api.json(Call("POST", path, body=daemons)))["metadata"]["uid"]
        for node in self.nodes:
            await self.make({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
            untainted = {"spec": {"taints": None}}  # a new node is not ready until its kubelet says so
            patch = "application/merge-patch+json"
            await self.port.api.json(
                Call("PATCH", f"/api/v1/nodes/{node}", body=untainted, content_type=patch)
            )
            await self.status("nodes", node, {"allocatable": {"nvidia.com/gpu": "1"}})
            agent = {"name": f"agent-{node}", "labels": labels}
            await self.pod(self.agents, agent, node, daemon=True)
        made = await self.port.objects.create(self.deployment())
        owners = [owner_reference(await set_of(self.port, made))]
        devices = json.dumps({"devices": {"nvidia.com/gpu": [GPU]}})
        meta = {"name": "llm-0", "labels": {"app": "llm"}, "annotations": {DEVICES_ANNOTATION: devices}}
        meta["ownerReferences"] = owners
        await self.pod(self.drills, meta, self.nodes[0], gpus=1)

    async def clear(self) -> None:
        """Nodes are seen by all tests of the server."""
        for node in self.nodes:
            await self.port.api.ask(Call("DELETE", f"/api/v1/nodes/{node}"))

    async def make(self, obj: dict[str, Any]) -> None:
        await self.port.objects.create(obj)

    async def pod(
        self, namespace: str, meta: dict[str, Any], node: str, *, gpus: int = 0, daemon: bool = False
    ) -> None:
        requests = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
        owner = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": "agent",
            "uid": self.daemons,
            "controller": True,
        }
        owners = {"ownerReferences": [owner]} if daemon else {}
        spec = {"nodeName": node, "containers": [{"name": "main", "image": "none", "resources": requests}]}
        full = {**meta, **owners, "namespace": namespace}
        await self.make({"apiVersion": "v1", "kind": "Pod", "metadata": full, "spec": spec})
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await self.status(f"namespaces/{namespace}/pods", meta["name"], ready)

    async def status(self, where: str, name: str, status: dict[str, Any]) -> None:
        path = f"/api/v1/{where}/{name}/status"
        patch = "application/merge-patch+json"
        await self.port.api.json(Call("PATCH", path, body={"status": status}, content_type=patch))

    def deployment(self) -> dict[str, Any]:
        container = {"name": "main", "image": "none", "ports": [{"name": "http", "containerPort": 8000}]}
        labels = {"app": "llm"}
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
        meta = {"name": "llm", "namespace": self.drills}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}

    @property
    def chosen(self) -> tuple[str, str]:
        """How the user says which cluster."""
        return "--env-set", f"kubeconfig={self.kubeconfig}"

    async def plan(self, *arguments: str, **guards: Any) -> Process:
        """`offbus plan`, ended."""
        existing = {"kind": "Deployment", "name": "llm", "namespace": self.drills}
        options = {"agent_namespace": self.agents}
        scenario = {
            "offbus": 1,
            "name": "seen",
            "environment": {"uses": "kubernetes", **options},
            "guards": {"real_remediation": "allow", **guards},
            "steps": [
                {"id": "deploy", "uses": "deploy", "with": {"existing": existing}},
                {"id": "prepare", "uses": "prepare_cuda", "with": self.prepare},
                {"id": "inject", "uses": "inject_fault", "with": {"xid": 79}},
            ],
        }
        path = self.folder / "seen.yaml"
        path.write_text(yaml.safe_dump(scenario))
        process = offbus_process(self.folder, "plan", str(path), *self.chosen, *arguments)
        self.code = await process.ended()
        return process

    async def run(self) -> None:
        """`offbus run` of a scenario whose target is not there, so that nothing is asked of its pods; ended."""
        existing = {"kind": "Deployment", "name": "none", "namespace": self.drills}
        options = {
            "agent_namespace": self.agents,
            "namespace": self.drills,
        }
        scenario = {
            "offbus": 1,
            "name": "taken",
            "environment": {"uses": "kubernetes", **options},
            "steps": [{"id": "deploy", "uses": "deploy", "with": {"existing": existing}, "timeout": "1s"}],
        }
        path = self.folder / "taken.yaml"
        path.write_text(yaml.safe_dump(scenario))
        self.runs = self.folder / f"runs-{uuid4().hex[:6]}"
        process = offbus_process(self.folder, "run", str(path), *self.chosen, "--runs", str(self.runs))
        await process.ended()

    def observed(self, subject: str) -> list[dict[str, Any]]:
        """What the last run's journal says of a subject."""
        (journal,) = self.runs.glob("*/journal.jsonl")
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        return [
            one["data"] for one in events if one["kind"] == "observed" and one["data"]["subject"] == subject
        ]

    async def everything(self) -> dict[str, str]:
        """Every object of every kind that offbus knows, with its version; the API server's own Leases aside."""
        found = {}
        for kind in KINDS:
            try:
                for one in (await self.port.objects.list(kind)).items:
                    if one["metadata"].get("namespace") != "kube-system":
                        found[one["metadata"]["uid"]] = one["metadata"]["resourceVersion"]
            except (NotFound, Invalid):
                continue  # not served here
        return found


@pytest.fixture
async def town(server: LoneServer, port: KubernetesPort, tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(port, tmp_path, server.kubeconfig("admin"))
    await town.build()
    yield town
    await town.clear()


async def test_a_run_that_may_start_is_exit_0_and_nothing_is_written(town: Town) -> None:
    before = await town.everything()
    plan = await town.plan()
    assert town.code == 0, plan.said
    assert await town.everything() == before
    assert f"would evict Pod/{town.drills}/llm-0 (1 GPU) from {town.nodes[0]}" in plan.said
    assert "NVSentinel cordons and drains the node, then RESTART_BM" in plan.said
    assert "1 pods of" in plan.said
    assert "a run may start" in plan.said


async def test_another_tenant_and_a_lack_of_room_refuse(town: Town) -> None:
    await town.pod(town.others, {"name": "theirs"}, town.nodes[0])
    await town.pod(town.drills, {"name": "big"}, town.nodes[1], gpus=1)
    plan = await town.plan("--format", "json", namespaces=[town.drills])
    assert town.code == 3
    refused = [one["text"] for one in json.loads(plan.said)["preflight"] if one["level"] == "error"]
    assert refused == [
        f"guard namespaces: {town.nodes[0]} also runs {town.others}/theirs, outside {town.drills}"
    ]
    assert f"would evict Pod/{town.others}/theirs from {town.nodes[0]}" in plan.said
    await town.plan("--format", "json", namespaces=["*"])
    assert town.code == 3
    plan = await town.plan()
    assert "do not fit on other nodes: missing 1 GPU(s) on one node" in plan.said


async def test_pod_security_agents_and_another_run_refuse(town: Town) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    await town.port.api.json(
        Call(
            "PATCH",
            f"/api/v1/namespaces/{town.drills}",
            body=enforce,
            content_type="application/merge-patch+json",
        )
    )
    lost = f"/api/v1/namespaces/{town.agents}/pods/agent-{town.nodes[1]}"
    await town.port.api.ask(Call("DELETE", lost, body={"gracePeriodSeconds": 0}))
    await RunLease(town.port.objects, town.agents, "r1/1@there").take()
    before = await town.everything()
    plan = await town.plan()
    assert town.code == 3
    assert await town.everything() == before
    assert f"no agent is ready on {town.nodes[1]}" in plan.said
    assert "the cluster is in use by run r1 (held by r1/1@there)" in plan.said
    assert f"Pod Security forbids the shim's hostPath volumes in namespace {town.drills}" in plan.said
    assert f"kubectl label namespace {town.drills} pod-security.kubernetes.io/enforce=privileged" in plan.said
    assert "a run would be refused: 3 reasons" in plan.said


PIPELINE = '{"pipeline": [{"name": "Deduplicator", "enabled": true, "config": "/etc/config/dedup.toml"}]}'


async def test_what_nvsentinel_is_set_to_is_told(town: Town) -> None:
    space = f"{town.name}-nvs"
    await town.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
    quarantine = town.deployment()
    quarantine["metadata"] = {"name": "fault-quarantine", "namespace": space}
    container = quarantine["spec"]["template"]["spec"]["containers"][0]
    container |= {"name": "fault-quarantine", "args": ["--dry-run=true"]}
    await town.make(quarantine)
    for name, data in (
        ("circuit-breaker", {"status": "TRIPPED"}),
        ("platform-connectors", {"config.json": PIPELINE, "dedup.toml": 'suppressionWindow = "5m"'}),
    ):
        meta = {"name": name, "namespace": space}
        await town.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    reported = {"type": "SysLogsXIDError", "status": "True", "reason": "SysLogsXIDErrorIsNotHealthy"}
    await town.status("nodes", town.nodes[0], {"conditions": [reported]})
    try:
        unknown = " ".join((await town.plan()).said.split())
        plan = await town.plan(responder_namespace=space)
    finally:
        await town.port.api.ask(
            Call("DELETE", f"/apis/apps/v1/namespaces/{space}/deployments/fault-quarantine")
        )
    assert f"! Deployment/{space}/fault-quarantine looks like a part of a responder" in unknown
    assert town.code == 3
    assert f"NVSentinel's fault-quarantine in {space}" in plan.said
    where = f"Deployment/{space}/fault-quarantine"
    assert f"! NVSentinel's fault-quarantine is in dry run ({where} --dry-run): it sets marks" in plan.said
    tripped = (
        f"the circuit breaker of NVSentinel ({where}) is TRIPPED (ConfigMap/{space}/circuit-breaker status)"
    )
    assert f"! {tripped}: it answers no fault until it is reset" in plan.said
    assert f"✗ guard responder_breaker: {tripped}" in plan.said
    window = f"5m: ConfigMap/{space}/platform-connectors dedup.toml suppressionWindow"
    assert f"it ignores the same XID on the same GPU within its deduplication window ({window}" in plan.said
    assert f"! {town.nodes[0]} is already reported as SysLogsXIDError" in plan.said


async def test_a_cluster_that_is_away_is_a_refusal_and_offline_never_asks(town: Town, tmp_path: Path) -> None:
    town.kubeconfig = tmp_path / "nowhere"
    plan = await town.plan()
    assert town.code == 3
    assert "✗ cannot use" in plan.said
    await town.plan("--offline")
    assert town.code == 0


async def test_plan_says_which_way_by_admission_there_is(town: Town) -> None:
    town.prepare = {"by": "admission"}
    plan = await town.plan()
    assert town.code == 0, plan.said
    assert "pods would get the shim by MutatingAdmissionPolicy" in plan.said
    assert f"offbus's webhook is not deployed in {town.agents}" in plan.said
    meta = {"name": "offbus-webhook", "namespace": town.agents}
    published = {CERTIFICATE: new_identity(["offbus-webhook.test.svc"]).certificate}
    await town.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": published})
    await town.make({**town.deployment(), "metadata": meta})
    plan = await town.plan()
    assert "offbus's webhook is not ready" in plan.said
    ready = {"status": {"replicas": 1, "readyReplicas": 1}}
    await town.port.objects.patch(Ref("Deployment", "offbus-webhook", town.agents), ready, status=True)
    before = await town.everything()
    plan = await town.plan()
    assert town.code == 0, plan.said
    assert "or by MutatingWebhookConfiguration if that has no effect" in plan.said
    assert await town.everything() == before


async def test_a_namespace_that_the_reaper_cannot_reach_is_told_with_the_command_that_fixes_it(
    town: Town,
) -> None:
    meta = {"name": REAPER, "namespace": town.agents}
    await town.make({**town.deployment(), "metadata": meta})
    ready = {"status": {"replicas": 2, "readyReplicas": 2}}
    await town.port.objects.patch(Ref("Deployment", REAPER, town.agents), ready, status=True)
    fix = (
        f"kubectl -n {town.drills} create rolebinding offbus-reaper-drill --clusterrole=offbus-reaper-drill "
        f"--serviceaccount={town.agents}:offbus-reaper"
    )
    told = await reaper_sights(town)
    assert [one["level"] for one in told] == ["info", "warning"]
    assert (
        f"in {town.drills} whose runner dies: missing permissions: get pods, watch pods, delete pods and"
        in told[1]["text"]
    )
    assert told[1]["hint"] == fix
    await town.run()
    (said,) = town.observed("reaper")
    assert said["evidence"] == {"fix": fix}
    (role,) = (
        one
        for one in roles(town.agents, REAPER, reaper_rights())
        if one["metadata"]["name"] == f"{REAPER}-drill"
    )
    account = f"system:serviceaccount:{town.agents}:{REAPER}"
    await bind_role(town.port, role, account, town.drills)
    with anyio.fail_after(60):
        while len(told) > 1:  # when the authorizer has learnt of it cannot be watched
            told = await reaper_sights(town)
    assert [one["level"] for one in told] == ["info"]
    await town.run()
    assert town.observed("reaper") == []


async def test_a_role_that_is_bound_in_part_is_out_of_reach_by_what_is_missing(town: Town) -> None:
    held = [one for one in reaper_rights() if str(one) != "delete pods"]
    (role,) = (
        one for one in roles(town.agents, REAPER, held) if one["metadata"]["name"] == f"{REAPER}-drill"
    )
    role["metadata"]["name"] += f"-part-{town.name}"
    await bind_role(town.port, role, f"system:serviceaccount:{town.agents}:{REAPER}", town.drills)
    found: list[str] = []
    with anyio.fail_after(60):
        while found != ["delete pods"]:  # when the authorizer has learnt of it cannot be watched
            (gap,) = await gaps(town.port, [town.drills], town.agents)
            found = [str(one) for one in gap.lacking]
    assert str(gap).endswith("missing permissions: delete pods")


async def reaper_sights(town: Town) -> list[dict[str, Any]]:
    plan = await town.plan("--format", "json")
    return [one for one in json.loads(plan.said)["preflight"] if one["topic"] == "reaper"]


async def test_agents_that_run_are_found_by_one_look(town: Town) -> None:
    agents = KubernetesAgents(town.port.api, town.port.objects, town.agents)
    assert set(await agents.ready([*town.nodes, "nowhere"])) == set(town.nodes)
    assert set(await agents.ready([town.nodes[0]])) == {town.nodes[0]}
    away = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    await town.status(f"namespaces/{town.agents}/pods", f"agent-{town.nodes[1]}", away)
    assert set(await agents.ready(town.nodes)) == set(town.nodes)
    await town.status(
        f"namespaces/{town.agents}/pods", f"agent-{town.nodes[1]}", {**away, "phase": "Pending"}
    )
    assert set(await agents.ready(town.nodes)) == {town.nodes[0]}
