"""Whether the reaper could undo a drill: checked before the drill, for the reaper's service account.

Its permissions in a drill's namespaces are granted by hand, one RoleBinding for each (deploy/README.md). Without one,
the reaper finds a run whose runner died, and its undos are refused; so that is reported before the run. Checked by
LocalSubjectAccessReview, which covers any kind of binding. Changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import anyio

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.access_review import is_needed
from offbus_steps.kubernetes.rbac.reaper import REAPER, reaper_rights
from offbus_steps.kubernetes.rbac.rights import Right, Scope
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import NotFound

__all__ = ["Gap", "drill_namespaces", "gaps", "ready_reapers"]

NAMED = 3
"""How many missing permissions are named; one binding grants all of them."""
PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Gap:
    """A namespace in which the reaper lacks permissions to undo."""

    namespace: str
    lacking: tuple[Right, ...]
    agents: str

    def __str__(self) -> str:
        more = len(self.lacking) - NAMED
        named = ", ".join(str(one) for one in self.lacking[:NAMED])
        return (
            f"the reaper could not undo a run in {self.namespace} whose runner dies: missing permissions: {named}"
            + (f" and {more} more" if more > 0 else "")
        )

    @property
    def fix(self) -> str:
        """The command that fixes it."""
        return (
            f"kubectl -n {self.namespace} create rolebinding {REAPER}-drill --clusterrole={REAPER}-drill "
            f"--serviceaccount={self.agents}:{REAPER}"
        )


async def ready_reapers(port: KubernetesPort, agents: str) -> int:
    """How many replicas are ready; 0 where none is deployed. Raises PortError."""
    found = (await port.objects.list("Deployment", namespace=agents)).items
    mine = (one for one in found if one["metadata"]["name"] == REAPER)
    return sum(int((one.get("status") or {}).get("readyReplicas") or 0) for one in mine)


async def gaps(port: KubernetesPort, namespaces: Iterable[str], agents: str) -> list[Gap]:
    """The namespaces in which the reaper lacks permissions, without those that do not exist yet. Raises PortError."""
    wanted = [
        right for right in reaper_rights() if right.scope is Scope.DRILL and await is_needed(port, right)
    ]
    found = [Gap(one, await _lacking(port, wanted, one, agents), agents) for one in sorted(set(namespaces))]
    return [one for one in found if one.lacking]


def drill_namespaces(named: str, patterns: Iterable[str], more: Iterable[str] = ()) -> list[str]:
    """Where a drill would create and change objects, as far as known: by the environment, else by the guards, and
    `more`, what its steps tell before the run."""
    found = [named] if named else [one for one in patterns if not PATTERN & set(one)]
    return list(dict.fromkeys([*found, *more]))


async def _lacking(
    port: KubernetesPort, wanted: Sequence[Right], namespace: str, agents: str
) -> tuple[Right, ...]:
    lacking: set[Right] = set()
    user = f"system:serviceaccount:{agents}:{REAPER}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{agents}", "system:authenticated"]
    path = f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"

    async def check(right: Right) -> None:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "LocalSubjectAccessReview",
            "metadata": {"namespace": namespace},
            "spec": {"user": user, "groups": groups, "resourceAttributes": right.attributes(namespace)},
        }
        try:
            answer = await port.api.json(Call("POST", path, body=body))
        except NotFound:  # the namespace does not exist yet
            return
        if not answer["status"]["allowed"]:
            lacking.add(right)

    async with anyio.create_task_group() as group:
        for right in wanted:
            group.start_soon(check, right)
    return tuple(right for right in wanted if right in lacking)
