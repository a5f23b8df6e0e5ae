"""A right that is missing is named before anything is touched: each single one, on the API server's own RBAC."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus.cli.main import main
from offbus.errors import CouldNotRun
from offbus.plugins import STEPS, UNDOS, Registry, installed
from offbus.runner.fingerprint_diff import differences
from offbus.step import Kind, Outputs, Params, StepType
from offbus_steps.access import access
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort, open_port
from offbus_steps.kubernetes.rbac.access_review import missing_rights, preflight
from offbus_steps.kubernetes.rbac.reaper import reaper_rights
from offbus_steps.kubernetes.rbac.rights import Right, Scope, rights_of, roles
from offbus_steps.kubernetes.rbac.roles import WHOSE, rendered
from offbus_steps.kubernetes.rbac.runner import RUNNER, declared, runner_rights
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import Conflict
from offbus_steps.prepare.step_types import PREPARE_CUDA
from tests.kits import REPOSITORY
from tests.kits.kubernetes.deployments import deployed, deployment
from tests.kits.kubernetes.kubernetes_world import PortFor, Users, bind_role
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.kubernetes.pod_player import playing
from tests.kits.steps.bench import bench_on

pytestmark = pytest.mark.anyio

DRILLS = "drill-a"
RIGHTS = runner_rights()
ASKED = [n for n, right in enumerate(RIGHTS) if right.scope is not Scope.ADMISSION]
"""Rights that every drill needs; those of `prepare_cuda` by admission are asked for by its own dry run."""
WHERE = {Scope.CLUSTER: "", Scope.DRILL: f" in {DRILLS}", Scope.AGENTS: f" in {AGENT_NAMESPACE}"}
WATCHDOG_S = 60


@pytest.fixture(scope="module")
def bound(server: LoneServer) -> None:
    """Roles for every user of the world: all rights, or all but one."""
    anyio.run(bind_everybody, server)


async def bind_everybody(server: LoneServer) -> None:
    async with open_port(Login(str(server.kubeconfig("admin"))), qps=1000, burst=2000) as port:
        for name in (DRILLS, AGENT_NAMESPACE):
            await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await bind(port, Users.ENTITLED, None)
        for number, right in enumerate(RIGHTS):
            await bind(port, Users.lacking(number), right)


async def bind(port: KubernetesPort, user: str, without: Right | None) -> None:
    for role, scope in zip(roles(AGENT_NAMESPACE, RUNNER, RIGHTS), Scope, strict=True):
        rules = [
            narrowed(rule, without if without and without.scope is scope else None) for rule in role["rules"]
        ]
        kept = {**role, "rules": [rule for rule in rules if rule["verbs"]]}
        await bind_role(port, kept, user, DRILLS if scope is Scope.DRILL else "")


def narrowed(rule: dict[str, Any], without: Right | None) -> dict[str, Any]:
    mine = without is not None and (rule["apiGroups"], rule["resources"]) == (
        [without.group],
        [without.resource],
    )
    return {
        **rule,
        "verbs": [verb for verb in rule["verbs"] if not (mine and without and verb == without.verb)],
    }


@pytest.fixture
async def asked(port_for: PortFor) -> AsyncIterator[Any]:
    """`await asked(user)`: what the user lacks, once the server's authorizer has learnt of the roles."""

    async def ask(user: str, expected: list[str]) -> list[str]:
        async with port_for(user) as port:
            found: list[str] = []
            with anyio.move_on_after(WATCHDOG_S):
                while (found := await lacks(port)) != expected:  # noqa: ASYNC110  nor can RBAC
                    await anyio.sleep(0.1)
            return found

    return ask


async def lacks(port: KubernetesPort) -> list[str]:
    return await missing_rights(port, drill_namespace=DRILLS, agent_namespace=AGENT_NAMESPACE)


async def test_the_roles_of_deploy_are_enough(bound: None, asked: Any) -> None:
    assert await asked(Users.ENTITLED, []) == []


@pytest.mark.parametrize(
    "number", ASKED, ids=[f"{RIGHTS[n]} ({RIGHTS[n].scope})".replace(" ", "_") for n in ASKED]
)
def test_plan_names_the_one_right_that_is_missing_and_run_touches_nothing(
    bound: None,
    server: LoneServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """Through the command line, as a user meets it."""
    wanted = f"{RIGHTS[number]}{WHERE[RIGHTS[number].scope]}"
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(Users.lacking(number))))
    scenario = str(written(tmp_path))
    assert refusals(scenario, [f"missing permission: {wanted}"], capfd) == [f"missing permission: {wanted}"]
    before = anyio.run(touched, server)
    assert command("run", scenario, "--runs", str(tmp_path / "runs")) == 3
    said = "".join(capfd.readouterr())
    known_by = "cannot get resource" if wanted == "get namespaces" else f"missing permissions: {wanted}"
    assert known_by in said
    assert anyio.run(touched, server) == before


def command(*arguments: str) -> int:
    """What `offbus ARGUMENTS` exits with."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def refusals(
    scenario: str, expected: list[str], capfd: pytest.CaptureFixture[str], topic: str = ""
) -> list[str]:
    """What `offbus plan` refuses, once the server's authorizer has learnt of the roles (it cannot be watched)."""
    found: list[str] = []
    deadline = time.monotonic() + WATCHDOG_S
    while found != expected and time.monotonic() < deadline:
        assert command("plan", scenario, "--format", "json") == 3
        place = json.loads(capfd.readouterr().out)["preflight"]
        errors = (one for one in place if one["level"] == "error" and topic in ("", one["topic"]))
        found = [one["text"] for one in errors]
    return found


IN_DRILLS = {"existing": {"kind": "Deployment", "name": "llm", "namespace": DRILLS}}


def written(folder: Path, deploy: Mapping[str, Any] = IN_DRILLS) -> Path:
    environment = {"uses": "kubernetes", "namespace": DRILLS}
    steps = [{"id": "deploy", "uses": "deploy", "with": deploy}]
    scenario = {"offbus": 1, "name": "lacking", "environment": environment, "steps": steps}
    path = folder / "lacking.yaml"
    path.write_text(yaml.safe_dump(scenario))
    return path


async def touched(server: LoneServer) -> dict[str, str]:
    """What a run would make or change before its first step, with versions."""
    found = {}
    async with open_port(Login(str(server.kubeconfig("admin")))) as port:
        for kind in ("Lease", "ConfigMap"):
            for one in (await port.objects.list(kind, namespace=AGENT_NAMESPACE)).items:
                found[f"{kind}/{one['metadata']['name']}"] = one["metadata"]["resourceVersion"]
    return found


ELSEWHERE = "drill-b"
"""Where nobody here has rights."""
HERE = {"existing": {"kind": "Deployment", "name": "llm", "namespace": ELSEWHERE}}


def manifest(folder: Path, namespace: str) -> str:
    (folder / "target.yaml").write_text(yaml.safe_dump(deployment("llm", namespace)))
    return "target.yaml"


@pytest.mark.parametrize(
    ("deploy", "where"),
    [
        (lambda _folder: HERE, ELSEWHERE),
        (lambda folder: {"manifest": manifest(folder, ELSEWHERE)}, ELSEWHERE),
        (lambda folder: {"manifest": manifest(folder, DRILLS), "namespace": ELSEWHERE}, ELSEWHERE),
        (
            lambda folder: {
                "manifest": manifest(folder, DRILLS),
                "namespace": ELSEWHERE,
                "ephemeral": True,
            },
            f"{ELSEWHERE}-plan",
        ),
    ],
    ids=["existing", "a manifest with its own", "a manifest put there", "made for the run"],
)
def test_rights_are_asked_for_where_they_will_be_used(
    bound: None,
    server: LoneServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    deploy: Callable[[Path], dict[str, Any]],
    where: str,
) -> None:
    """The credentials have all rights in the namespace of the environment, and none in the target's."""
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(Users.ENTITLED)))
    scenario = str(written(tmp_path, deploy(tmp_path)))
    wanted = [f"missing permission: {one} in {where}" for one in RIGHTS if one.scope is Scope.DRILL]
    found = refusals(scenario, wanted, capfd, topic="rights")
    assert found == wanted
    before = anyio.run(touched, server)
    assert command("run", scenario, "--runs", str(tmp_path / "runs")) == 3
    said = "".join(capfd.readouterr())
    assert re.search(rf"missing permissions: .*delete pods in {where.replace('plan', '[0-9a-f]+')}", said)
    assert anyio.run(touched, server) == before
    (journal,) = tmp_path.glob("runs/*/journal.jsonl")
    assert b"undo_recorded" not in journal.read_bytes()


async def test_a_run_is_refused_before_anything_is_touched(port_for: PortFor) -> None:
    async with port_for(Users.NOBODY) as port:
        with pytest.raises(
            CouldNotRun, match=r"missing permissions: .*patch nodes; .*delete pods in drill-a"
        ) as refused:
            await preflight(port, drill_namespace=DRILLS, agent_namespace=AGENT_NAMESPACE)
    assert "offbus-runner" in str(refused.value)


async def test_nodes_with_gpus_and_without_an_agent_are_named(port: KubernetesPort) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-node"}}
    gpus = {"nvidia.com/gpu": "4"}
    try:
        await port.objects.create(node)
    except Conflict:
        pytest.fail("another test left the node")
    await port.api.json(
        Call(
            "PATCH",
            "/api/v1/nodes/gpu-node/status",
            body={"status": {"allocatable": gpus, "capacity": gpus}},
            content_type="application/merge-patch+json",
        )
    )
    try:
        with pytest.raises(CouldNotRun, match="no agent is ready on gpu-node"):
            await preflight(port, drill_namespace="", agent_namespace=AGENT_NAMESPACE)
    finally:
        await port.api.ask(Call("DELETE", "/api/v1/nodes/gpu-node"))


@pytest.mark.parametrize("whose", WHOSE)
def test_the_committed_roles_are_what_is_declared(whose: str) -> None:
    assert (REPOSITORY / "deploy" / "base" / f"{whose}-roles.yaml").read_text() == rendered(whose)


def test_the_reaper_may_less_than_a_runner_and_nothing_that_no_undo_declares() -> None:
    """Records come without its doing, so it watches them; a runner knows its own."""
    mine = set(reaper_rights())
    (watches_records,) = mine - set(RIGHTS)
    assert (str(watches_records), watches_records.scope) == ("watch configmaps", Scope.AGENTS)
    assert mine - {watches_records} < set(RIGHTS)
    made = {str(right) for right in mine if right.scope is not Scope.AGENTS and right.verb == "create"}
    assert made == set()
    assert "delete pods" in {str(right) for right in mine}


def test_what_step_types_use_is_asked_for_and_a_package_brings_its_own() -> None:
    mine = StepType(
        name="mine",
        kind=Kind.OBSERVATION,
        summary="Looks at Leases.",
        params=Params,
        outputs=Outputs,
        run=runner_rights,
        access=access("get", "Lease")
        | access("list", "Lease", everywhere=True)
        | access("list watch", "Lease"),
    )
    used = list(declared(Registry.of(steps={"mine": mine}), STEPS))
    found = [(str(right), right.scope) for right in rights_of(used)]
    leases = "leases.coordination.k8s.io"
    assert found == [
        (f"list {leases}", Scope.CLUSTER),
        (f"get {leases}", Scope.DRILL),  # `list` is held everywhere already
        (f"watch {leases}", Scope.DRILL),
    ]


def test_every_type_of_ours_says_what_it_uses_or_that_it_uses_nothing() -> None:
    registry = installed()
    silent = {name for name in registry.names(UNDOS) if not hasattr(registry.undo_type(name), "access")} | {
        name for name in registry.names(STEPS) if not registry.step_type(name).access
    }
    # they look at what the run watches already, or act on other steps
    assert silent == {
        "cleanup",
        "scenario",
        "await_cordon",
        "await_detection",
        "await_drain",
        "await_quarantine",
        "await_remediation",
        "await_uncordon",
    }


async def test_who_has_the_generated_roles_and_no_more_can_take_a_target_and_prepare_it_both_ways(
    bound: None, asked: Any, port: KubernetesPort, port_for: PortFor, tmp_path: Path
) -> None:
    assert await asked(Users.ENTITLED, []) == []
    async with (
        port_for(Users.ENTITLED) as mine,
        playing(port, DRILLS),
        bench_on(mine, tmp_path) as one,
    ):
        made = await deployed(port, deployment("entitled", DRILLS))
        before = await one.cluster.fingerprint()
        existing = {"kind": made.kind, "name": made.name, "namespace": made.namespace}
        target = (await one.run(DEPLOY, existing=existing, port=8000)).target
        taken = len(one.undos)
        for by in ("patch", "admission"):
            await one.run(PREPARE_CUDA, target=target, by=by)
            assert [(await one.undo(undo)).result for undo in one.undos[taken:]] == ["restored"]
            del one.undos[taken:]
        (collect,) = one.undos
        collected = await one.undo(collect)
        assert collected.evidence["missing"] == []
        assert len(collected.evidence["files"]) > 1
        assert differences(before, await one.cluster.fingerprint()) == []
