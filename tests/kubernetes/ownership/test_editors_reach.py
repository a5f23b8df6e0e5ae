"""A person who has the built-in ClusterRole `edit` in a drill's namespace makes the reaper act nowhere else.

On the API server's own RBAC, with the reaper's generated roles and a real reaper.
"""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.journal.events import VERSION
from offbus_steps.kubernetes.ownership.run_lease import LEASE
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL, records_name
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.reaper import REAPER, reaper_rights
from offbus_steps.kubernetes.rbac.rights import roles
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Conflict, Forbidden, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL
from tests.kits.kubernetes.killed_runs import Drill, Process, gone, seen
from tests.kits.kubernetes.kubernetes_world import PortFor, Users, bind_role
from tests.kits.kubernetes.lone_server import LoneServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

RUN = "e0d17ab1"
WATCHDOG_S = 60
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"
SUBJECT = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": Users.EDITOR}


@pytest.fixture
def drills(namespace: str) -> str:
    """Where the editor may edit, and drills run; `namespace` is offbus's own, and "…-c" is somebody else's."""
    return f"{namespace}-b"


@pytest.fixture
async def victim(port: KubernetesPort, namespace: str) -> Ref:
    """An object of somebody else's, which even carries the label of the editor's run."""
    name = f"{namespace}-c"
    await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await port.objects.create(config_map("notes", name, {RUN_LABEL: RUN}))
    return Ref("ConfigMap", "notes", name)


@pytest.fixture
async def reaper(
    port: KubernetesPort, server: LoneServer, tmp_path: Path, namespace: str, drills: str
) -> AsyncIterator[Process]:
    """A reaper with deploy/'s roles, bound in the drills' namespace, that watches."""
    found = roles(namespace, REAPER, reaper_rights())
    for role, where in zip(found, ("", drills, "", ""), strict=True):
        role["metadata"]["name"] += f"-{namespace}"
        await bind_role(port, role, Users.REAPER, where)
    with Drill(tmp_path, server.kubeconfig("admin"), namespace).ending_all() as drill:
        yield drill.reaper(kubeconfig=server.kubeconfig(Users.REAPER))


@pytest.fixture
async def editor(port: KubernetesPort, port_for: PortFor, drills: str) -> AsyncIterator[KubernetesPort]:
    """Bound to `edit` there, and known to the authorizer.

    To the roles of which a controller, which does not run here, aggregates `edit` (kubernetes.io, RBAC, user-facing
    roles).
    """
    for name in ("system:aggregate-to-edit", "system:aggregate-to-view"):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [SUBJECT],
        }
        await port.api.json(Call("POST", BINDINGS.format(drills), body=binding))
    async with port_for(Users.EDITOR) as mine:
        with anyio.fail_after(WATCHDOG_S):
            while True:
                try:
                    await mine.objects.create(config_map("ready", drills))
                except Forbidden:  # the authorizer cannot be watched
                    await anyio.sleep(0.1)
                else:
                    break
        yield mine


def config_map(
    name: str, namespace: str, labels: dict[str, str] | None = None, **data: str
) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def lease(namespace: str) -> dict[str, Any]:
    spec = {"holderIdentity": f"{RUN}/1@here#x", "leaseDurationSeconds": 1}
    meta = {"name": LEASE, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}


def records(namespace: str, victim: Ref, name: str = "", run: str = RUN, **opened: Any) -> dict[str, Any]:
    """Records by which a reaper would delete the victim."""

    def event(seq: int, kind: str, data: dict[str, Any]) -> str:
        head = {"v": VERSION, "seq": seq, "run": run, "t": "2026-01-31T12:00:00.000000Z", "mono_ns": seq}
        return json.dumps({**head, "clock": "c", "kind": kind, "data": data})

    started = {
        "name": "evil",
        "summary": "",
        "scenario": "x",
        "digest": "x",
        "environment": "kubernetes",
        "identity": "x",
        "versions": {},
        "steps": [],
        "expect": [],
        "timeout_s": 1.0,
        "undo_timeout_s": 5.0,
        "host": "x",
        "pid": 1,
    }
    state = {"options": {"namespace": "", "lease_s": 3}, "guards": {}, "holder": ""}
    deletion = {"kind": victim.kind, "name": victim.name, "namespace": victim.namespace}
    undo = {"undo": 1, "type": "delete_object", "distribution": "offbus", "phase": "restore"}
    data = {
        "run-started": event(1, "run_started", started),
        "environment-opened": event(
            2, "environment_opened", {"environment": "kubernetes", "state": state, **opened}
        ),
        "undo-00001": event(3, "undo_recorded", {**undo, "describe": "x", "record": deletion}),
    }
    return config_map(name or records_name(RUN), namespace, {RECORDS_LABEL: RUN}, **data)


@pytest.mark.guarantee("G28")
async def test_what_an_editor_writes_is_read_by_no_reaper(
    editor: KubernetesPort, port: KubernetesPort, reaper: Process, drills: str, namespace: str, victim: Ref
) -> None:
    """The same records and Lease, in their namespace. What the reaper does look at shows that it was there."""
    await editor.objects.create(records(drills, victim))
    await editor.objects.create(records(drills, victim, name="others"))
    await editor.objects.create(lease(drills))
    await port.objects.create(
        {**lease(namespace), "spec": {**lease(namespace)["spec"], "holderIdentity": "r/1@x"}}
    )
    await gone(port, Ref("Lease", LEASE, namespace), reaper)
    reaper.send(signal.SIGTERM)
    assert await reaper.ended() == 0
    assert {line["run"] for line in reaper.logged if "run" in line} == {"r"}
    assert (await port.objects.get(victim))["metadata"]["labels"] == {RUN_LABEL: RUN}
    assert (await port.objects.get(Ref("Lease", LEASE, drills)))["spec"]["holderIdentity"].startswith(RUN)


@pytest.mark.guarantee("G28")
async def test_an_editor_writes_nothing_where_the_reaper_reads(
    editor: KubernetesPort, port: KubernetesPort, namespace: str, victim: Ref
) -> None:
    await port.objects.create(config_map("there", namespace))
    there = Ref("ConfigMap", "there", namespace)
    for act in (
        lambda: editor.objects.create(records(namespace, victim)),
        lambda: editor.objects.create(lease(namespace)),
        lambda: editor.objects.patch(there, {"metadata": {"labels": {RECORDS_LABEL: RUN}}}),
        lambda: editor.objects.delete(there),
        lambda: editor.objects.patch(
            Ref("Namespace", victim.namespace), {"metadata": {"labels": {RUN_LABEL: RUN}}}
        ),
        lambda: editor.objects.patch(victim, {"data": {"a": "b"}}),
    ):
        with pytest.raises(Forbidden):
            await act()


@pytest.mark.guarantee("G28")
@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        ({"name": "offbus-webhook"}, None),
        ({"run": "another1"}, "of run another1"),
        ({"environment": "local"}, "another environment"),
        ({"state": {"options": 7}}, "do not say how it was opened"),
    ],
    ids=["another name", "another run", "another environment", "no options"],
)
async def test_records_that_no_runner_writes_are_refused(
    port: KubernetesPort,
    reaper: Process,
    namespace: str,
    victim: Ref,
    spoil: dict[str, Any],
    word: str | None,
) -> None:
    """Also from a program of ours that may write one ConfigMap in that namespace."""
    await port.objects.create(records(namespace, victim, **spoil))
    await port.objects.create(lease(namespace))
    if word is None:
        await gone(port, Ref("Lease", LEASE, namespace), reaper)
        assert [line["event"] for line in reaper.logged][-1:] in (["freed"], ["lease expired"])
    else:
        with anyio.fail_after(WATCHDOG_S):
            while not any(line["event"] == "not finished" for line in reaper.logged):  # noqa: ASYNC110  its log
                await anyio.sleep(0.1)
        (told, *_) = [line for line in reaper.logged if line["event"] == "not finished"]
        assert word in told["why"]
    assert (await port.objects.get(victim))["metadata"]["labels"] == {RUN_LABEL: RUN}


@pytest.mark.guarantee("G28")
async def test_hostile_records_reach_no_further_than_the_reapers_bindings(
    port: KubernetesPort, reaper: Process, namespace: str, drills: str, victim: Ref
) -> None:
    """Written by somebody who has the runner's Role: what is bound for the reaper is the bound."""
    mine = config_map("notes", drills, {RUN_LABEL: RUN})
    await port.objects.create(mine)
    made = records(namespace, victim)
    second = json.loads(made["data"]["undo-00001"])
    second["seq"], second["data"]["undo"] = 4, 2
    second["data"]["record"]["namespace"] = drills
    made["data"]["undo-00002"] = json.dumps(second)
    await port.objects.create(made)
    await port.objects.create(lease(namespace))
    await gone(port, Ref("ConfigMap", "notes", drills), reaper)
    report = await seen(port, Ref("ConfigMap", f"offbus-report-{RUN}", namespace), reaper)
    assert f"residue: delete {victim}: not undone" in report["data"]["summary"]
    assert (await port.objects.get(victim))["metadata"]["labels"] == {RUN_LABEL: RUN}
    with pytest.raises(Conflict):
        await port.objects.create(lease(namespace))
