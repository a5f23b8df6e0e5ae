"""The chains of controllers of every kind that can be a target, as their operators make them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from offbus_steps.port import NotFound, Object, ObjectList
from offbus_steps.watch.owners import Owners
from offbus_steps.workloads.controllers import Controller, controller
from offbus_steps.workloads.target import Target

pytestmark = pytest.mark.anyio

DEPLOYMENT = "ReplicaSet/r Deployment/web"
GROUPS = "StatefulSet/s LeaderWorkerSet/web"
OF_A_COMPONENT = "LeaderWorkerSet/l DynamoComponentDeployment/c DynamoGraphDeployment/web"
CHAINS = {
    "Deployment": [DEPLOYMENT],
    "StatefulSet": ["StatefulSet/web"],
    "LeaderWorkerSet": [GROUPS, f"StatefulSet/w Pod/leader {GROUPS}"],
    "DynamoGraphDeployment": [
        "ReplicaSet/r Deployment/d DynamoGraphDeployment/web",
        "ReplicaSet/r Deployment/d DynamoComponentDeployment/c DynamoGraphDeployment/web",
        f"StatefulSet/s {OF_A_COMPONENT}",
        f"StatefulSet/w Pod/leader StatefulSet/s {OF_A_COMPONENT}",
        "StatefulSet/s LeaderWorkerSet/l DisaggregatedSet/d DynamoGraphDeployment/web",
        "PodClique/p PodCliqueSet/q DynamoGraphDeployment/web",
        "PodClique/p PodCliqueScalingGroup/g PodCliqueSet/q DynamoGraphDeployment/web",
    ],
}
EVERY = [(kind, chain) for kind, chains in CHAINS.items() for chain in chains]
each_chain = pytest.mark.parametrize(("kind", "chain"), EVERY, ids=[f"{kind}: {one}" for kind, one in EVERY])


class Listed:
    """A cluster that has the objects of one chain, and serves no other kinds."""

    def __init__(self, *chain: str) -> None:
        self.kinds: dict[str, list[Object]] = {}
        self.asked: list[str] = []
        for below, above in zip(chain, (*chain[1:], ""), strict=True):
            kind, _, name = below.partition("/")
            meta = {"name": name, "uid": f"uid of {below}", "ownerReferences": owned_by(above)}
            self.kinds.setdefault(kind, []).append({"metadata": meta})

    async def pages(self, kind: str, *, namespace: str, labels: str) -> AsyncIterator[ObjectList]:
        assert namespace == "drill"
        self.asked.append(f"{kind} {labels}")
        if kind not in self.kinds:
            raise NotFound(kind)
        yield ObjectList(self.kinds[kind], "10")


def owned_by(above: str, uid: str = "") -> list[dict[str, Any]]:
    kind, _, name = above.partition("/")
    reference = {"kind": kind, "name": name, "uid": uid or f"uid of {above}", "controller": True}
    return [reference] if above else []


def target(kind: str) -> Target:
    return Target(kind=kind, name="web", namespace="drill", port=1, selector={"app": "web"})


def first_of(owners: list[dict[str, Any]]) -> Controller | None:
    return controller({"metadata": {"ownerReferences": owners}})


@each_chain
async def test_a_chain_leads_to_its_workload(kind: str, chain: str) -> None:
    links, owners, of = chain.split(), Owners(), target(kind)
    first = first_of(owned_by(links[0]))
    objects: Any = Listed(*links)
    await owners.learn(objects, of, [first], "9")
    assert owners.lead(first, of.ref, f"uid of {links[-1]}")
    assert not owners.lead(first, of.ref, "uid of another of its name")
    assert owners.why_not(first, of.ref) == ""
    await owners.learn(objects, of, [first], "11")
    assert len(objects.asked) == len(set(objects.asked))  # each kind once


@each_chain
async def test_a_link_with_another_uid_leads_nowhere(kind: str, chain: str) -> None:
    links, owners, of = chain.split(), Owners(), target(kind)
    objects: Any = Listed(*links)
    for forged in (owned_by(links[0], "forged"), owned_by("Job/web"), owned_by("Pod/leader"), []):
        first = first_of(forged)
        await owners.learn(objects, of, [first])
        assert not owners.lead(first, of.ref, f"uid of {links[-1]}")
    assert owners.why_not(None, of.ref) == "it has no controller"
    assert owners.why_not(first_of(owned_by("Job/x")), of.ref).startswith("its controller is Job/x, not a ")


async def test_owners_in_a_circle_end() -> None:
    owners, of = Owners(), target("LeaderWorkerSet")
    objects: Any = Listed("StatefulSet/s", "Pod/leader")
    objects.kinds["Pod"][0]["metadata"]["ownerReferences"] = owned_by("StatefulSet/s")
    first = first_of(owned_by("StatefulSet/s"))
    await owners.learn(objects, of, [first], "9")
    assert not owners.lead(first, of.ref, "uid of LeaderWorkerSet/web")


async def test_only_what_is_newer_than_what_was_read_is_asked_for() -> None:
    owners, of = Owners(), target("Deployment")
    objects: Any = Listed(*DEPLOYMENT.split())
    for number in range(5):
        await owners.learn(objects, of, [first_of(owned_by("ReplicaSet/x", f"u{number}"))], "10")
    assert objects.asked == ["ReplicaSet app=web"]
    await owners.learn(objects, of, [first_of(owned_by("ReplicaSet/x", "u9"))], "11")
    assert objects.asked == ["ReplicaSet app=web"] * 2
