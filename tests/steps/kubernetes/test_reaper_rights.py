"""The reaper's Role and the allow-lists of the undo types are the same list, seen from two sides."""

from datetime import timedelta
from typing import Any

import pytest

from offbus.plugins import UNDOS, installed
from offbus.undo import Undo
from offbus_steps.deploy.undo_delete import DeleteObject
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.inject.undo_restart import Holder, RestartFaulted
from offbus_steps.kinds import KINDS
from offbus_steps.kubernetes.rbac.reaper import reaper_rights
from offbus_steps.kubernetes.rbac.rights import Scope, right_of
from offbus_steps.prepare.admission_kinds import BINDING, POLICY, WEBHOOK
from offbus_steps.prepare.undo_admission import RemoveAdmission
from offbus_steps.prepare.undo_fields import RestoreFields
from tests.kits.steps.faults import FAULT, TARGET

RUN = "r1"
MINE = f"{RUN}-inject-0a1b2c"
CHANGES = frozenset(("create", "patch", "update", "delete", "deletecollection"))


def changes(kind: type[Undo]) -> set[tuple[str, str]]:
    """The verbs that change something, and their kinds, of an undo type's access."""
    return {
        (use.verb, f"{use.kind}/{use.subresource}" if use.subresource else use.kind)
        for use in getattr(kind, "access", ())
        if use.verb in CHANGES
    }


def of_kind(undo: Any, kind: str, **more: Any) -> Any:
    """The same for another kind, in a namespace where that kind has one."""
    return undo.model_copy(update={"kind": kind, "namespace": "a" if KINDS[kind].namespaced else "", **more})


def allowed(undo: Any, **more: Any) -> set[str]:
    """The kinds for which it would be tried."""
    return {kind for kind in KINDS if of_kind(undo, kind, **more).refusal(RUN) is None}


def maintained() -> set[str]:
    """The kinds of maintenance that a record may name."""
    record = ClearConsequences(
        node="n",
        uid="u",
        fault=MINE,
        expected=False,
        patience=timedelta(0),
        cordoned=False,
        labels={},
        annotations={},
        taints=(),
        conditions=(),
        maintenance=(),
    )
    return {
        kind
        for kind in KINDS
        if record.model_copy(update={"maintenance": (f"{kind}/a",)}).refusal(RUN) is None
    }


@pytest.mark.guarantee("G28")
def test_each_type_may_change_the_kinds_that_its_records_may_name_and_no_others() -> None:
    deletes = DeleteObject(kind="ConfigMap", name="a", namespace="a")
    restores = RestoreFields(kind="Deployment", name="a", namespace="a", uid="u", fields=())
    by_type = {
        DeleteObject: {("delete", kind) for kind in allowed(deletes)},
        RestoreFields: {("patch", kind) for kind in allowed(restores)},
        ClearConsequences: {
            ("patch", "Node"),
            ("patch", "Node/status"),
            *(("delete", kind) for kind in maintained()),
        },
        RestartFaulted: {("delete", Holder(name="a", namespace="a", uid="u", restarts=0).ref.kind)},
        RemoveAdmission: {("delete", kind) for kind in (BINDING, POLICY, WEBHOOK, "Pod")},
        DisarmFault: set[tuple[str, str]](),
    }
    assert {kind: changes(kind) for kind in by_type} == by_type
    registry = installed()
    rest = {registry.undo_type(name) for name in registry.names(UNDOS)} - by_type.keys()
    assert {one.__name__ for one in rest} == {"CheckBreaker", "CollectEvidence"}
    assert [changes(one) for one in rest] == [set(), set()]
    assert DisarmFault(fault=FAULT.model_copy(update={"id": MINE})).refusal(RUN) is None
    assert RemoveAdmission(policy=f"offbus-{RUN}-a", target=TARGET).refusal(RUN) is None


@pytest.mark.guarantee("G28")
def test_the_reapers_role_changes_what_the_types_change_and_its_own_bookkeeping() -> None:
    """In a drill's namespaces and in the cluster; in its own namespace the Lease, records, reports and agents."""
    registry = installed()
    declared = {
        right_of(use)
        for name in registry.names(UNDOS)
        for use in getattr(registry.undo_type(name), "access", ())
        if use.verb in CHANGES
    }
    held = {right for right in reaper_rights() if right.verb in CHANGES}
    assert {right for right in held if right.scope is not Scope.AGENTS} == declared
    assert {str(right) for right in held if right.scope is Scope.AGENTS} == {
        *(f"{verb} configmaps" for verb in ("create", "patch", "delete")),
        *(f"{verb} leases.coordination.k8s.io" for verb in ("create", "patch", "delete")),
        "create pods/proxy",
    }
