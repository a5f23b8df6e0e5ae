"""Guards say no with the name of the guard, the shortage and the way out."""

from contextlib import nullcontext
from typing import Any

import pytest

from offbus.errors import GuardRefused
from offbus_steps.port import Ref
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.event_log import World
from offbus_steps.watch.projections import NodeProjection


def world(**cordoned: bool) -> World:
    views = (
        NodeProjection(Ref("Node", name), is_cordoned, (), {}, {}, {})
        for name, is_cordoned in cordoned.items()
    )
    return World({view.ref: view for view in views})


@pytest.mark.parametrize(
    ("limit", "cordoned", "node", "allowed"),
    [
        (1, {"a": False, "b": False}, "a", True),
        (1, {"a": True, "b": False}, "b", False),
        (1, {"a": True}, "a", True),
    ],
    ids=["first", "second", "the same again"],
)
def test_one_more_cordoned_node_is_counted_before(
    limit: int, cordoned: dict[str, bool], node: str, *, allowed: bool
) -> None:
    guards = ClusterGuards(max_cordoned_nodes=limit)
    if allowed:
        guards.require_cordon_room(world(**cordoned), {node})
        return
    with pytest.raises(GuardRefused, match="max_cordoned_nodes: 2 nodes"):
        guards.require_cordon_room(world(**cordoned), {node})


def test_a_broken_guard_is_named_with_the_nodes() -> None:
    guards = ClusterGuards(max_cordoned_nodes=1)
    assert guards.broken(world(a=True, b=False)) is None
    assert "a, b are cordoned" in str(guards.broken(world(a=True, b=True)))


@pytest.mark.parametrize(
    ("pattern", "namespace", "allowed"),
    [
        ("drill-*", "drill-x", True),
        ("drill-*", "prod", False),
        ("*", "prod", True),
        ("DRILL-*", "drill-x", False),
    ],
    ids=str,
)
def test_namespaces_are_shell_patterns(pattern: str, namespace: str, *, allowed: bool) -> None:
    guards = ClusterGuards(namespaces=(pattern,))
    assert guards.allows_namespace(namespace) is allowed
    if not allowed:
        with pytest.raises(GuardRefused, match="guard namespaces"):
            guards.require_namespace(namespace)


class Asked(Exception):
    """Raised by a cluster that should not be asked, or has to be."""


class Untold:
    """A cluster of which nothing can be told, but whether its nodes are folders."""

    def __init__(self, *, local: bool) -> None:
        self.local, self.objects = local, self

    async def list(self, kind: str, *, namespace: str = "") -> None:
        raise Asked(kind)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("guard", "local", "action", "asked"),
    [
        ("forbid", False, "RESTART_BM", True),
        ("forbid", False, "CONTACT_SUPPORT", True),
        ("allow", False, "RESTART_BM", False),
        ("forbid", True, "RESTART_BM", False),
        ("forbid", False, "NONE", False),
    ],
    ids=["real", "by hand", "allowed", "local", "nothing would be done"],
)
async def test_what_is_deployed_is_asked_unless_it_cannot_matter(
    guard: Any, action: str, *, local: bool, asked: bool
) -> None:
    guards = ClusterGuards(real_remediation=guard)
    port: Any = Untold(local=local)
    with pytest.raises(Asked) if asked else nullcontext():
        await guards.require_no_real_remediation(port, "n", action)
