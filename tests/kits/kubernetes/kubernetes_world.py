"""Lone API servers for tests, ports to them, and users: each of them can do one thing less than a runner needs."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rbac.runner import runner_rights
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from tests.kits.kubernetes.lone_server import ADMIN, ADMISSION, LoneServer, Missing, lone_server

__all__ = ["PortFor", "Users", "bind_role", "port_to", "server_of_its_own"]

PortFor = Callable[[str], AbstractAsyncContextManager[KubernetesPort]]
"""`async with port_for(user) as port`."""


@contextmanager
def server_of_its_own(
    folder: Path, users: Mapping[str, str] = ADMIN, flags: Sequence[str] = ADMISSION
) -> Iterator[LoneServer]:
    """While the block runs; without the programs that it, or the block, needs the test is skipped, saying why."""
    try:
        with lone_server(folder, users, flags) as server:
            yield server
    except Missing as err:
        if os.environ.get("OFFBUS_TEST_CLUSTER") == "required":
            pytest.fail(str(err))
        pytest.skip(str(err))


def port_to(server: LoneServer, user: str = "admin") -> AbstractAsyncContextManager[KubernetesPort]:
    """A user's port, which is not slowed down."""
    return open_port(Login(str(server.kubeconfig(user))), qps=500, burst=1000)


class Users:
    """Names of users."""

    ENTITLED = "entitled"
    """Has every right."""
    JAILED = "jailed"
    """Belongs to a flow that admits nobody."""
    REAPER = "reaper"
    """Has what undos need, once a test has bound it."""
    EDITOR = "editor"
    """Has the built-in ClusterRole `edit` in one namespace, once a test has bound it."""
    OBSERVER = "observer"
    """Has the role of docs/observe.md, once a test has bound it."""
    GATEWAY = "gateway"
    """Has a runner's roles, as the gateway of deploy/ has, once a test has bound it."""
    NOBODY = "nobody"
    """Has no right."""

    @classmethod
    def lacking(cls, number: int) -> str:
        """Has every right but one."""
        return f"lacks-{number}"

    @classmethod
    def all(cls) -> dict[str, str]:
        """Names to groups."""
        names = [
            cls.ENTITLED,
            cls.JAILED,
            cls.REAPER,
            cls.EDITOR,
            cls.OBSERVER,
            cls.GATEWAY,
            cls.NOBODY,
            *(cls.lacking(n) for n in range(len(runner_rights()))),
        ]
        return dict.fromkeys(names, "drillers")


RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def bind_role(port: KubernetesPort, role: dict[str, Any], user: str, drills: str) -> None:
    """Give a user a role of deploy/ under a name of its own; in `drills` alone, when that is given."""
    name = f"{role['metadata']['name']}-{user}{'-' + drills if drills else ''}"
    meta = {**role["metadata"], "name": name}
    namespace = meta.get("namespace", "")
    await _create(port, {**role, "metadata": meta}, namespace)
    bound = drills or namespace
    await _create(port, _binding(role["kind"], name, user, namespaced=bool(bound)), bound)


def _binding(kind: str, role: str, user: str, *, namespaced: bool) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespaced else "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
    }


async def _create(port: KubernetesPort, obj: dict[str, Any], namespace: str) -> None:
    scope = f"/namespaces/{namespace}" if namespace else ""
    await port.api.json(Call("POST", f"{RBAC}{scope}/{obj['kind'].lower()}s", body=obj))
