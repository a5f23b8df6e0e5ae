"""Where pods fit: our rules beside the real scheduler, on random nodes and pods.

The guards call pods evictable, and `local` schedules pods, by offbus_steps.workloads.fit; here it must say of every
case what kube-scheduler does: the same node is possible, or none is, for the same reasons.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.workloads.fit import Fleet, shortage, unknowns
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.kubernetes.scheduler import FLAGS, Verdict, decided, scheduler_beside
from tests.kits.kubernetes.scheduling_cases import NAMESPACES, random_case

pytestmark = pytest.mark.anyio

ATTEMPTS = 4
EACH = 50
"""Cases of one test."""
BLOCKS = [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 10))]
"""500 cases, the first 50 of them also in CI's part."""


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneServer]:
    """An API server with a scheduler, and nothing else: the nodes of other tests would be in its way."""
    with (
        server_of_its_own(tmp_path_factory.mktemp("scheduled"), flags=FLAGS) as server,
        scheduler_beside(server),
    ):
        yield server


@pytest.fixture
async def port(scheduled: LoneServer) -> AsyncIterator[KubernetesPort]:
    """To that server, with the namespaces of the cases."""
    async with port_to(scheduled) as port:
        known = {one["metadata"]["name"] for one in (await port.objects.list("Namespace")).items}
        for name in set(NAMESPACES) - known:
            await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield port


@pytest.mark.parametrize("block", BLOCKS)
async def test_what_fits_is_what_the_scheduler_binds(port: KubernetesPort, block: int) -> None:
    fitting = 0
    for number in range(block * EACH, (block + 1) * EACH):
        case = random_case(number)
        verdicts = [await decided(port, case)]
        # its caches of running pods and of waiting ones are filled side by side: it may not know all of the former yet
        while disagreement(verdicts[-1]) and len(verdicts) < ATTEMPTS:
            verdicts.append(await decided(port, case))
        assert not disagreement(verdicts[-1]), (
            f"case {number}: {disagreement(verdicts[-1])}: {verdicts[-1].case}"
        )
        fitting += bool(verdicts[-1].node)
    assert EACH // 10 < fitting < EACH, "both must be there"


def disagreement(verdict: Verdict) -> str:
    """Where our rules say something else; "" where they do not."""
    case = verdict.case
    assert unknowns(case.pending) == []
    fleet = Fleet(case.nodes, case.running)
    refusals = fleet.refusals(case.pending)
    fitting = {name for name, why in refusals.items() if not why}
    reasons = Counter(why for listed in refusals.values() for why in listed)
    if bool(shortage([case.pending], fleet).missing) == bool(verdict.node):
        return f"the scheduler says {verdict.node or verdict.reasons}, we say {refusals}"
    if verdict.node:
        return "" if verdict.node in fitting else f"bound to {verdict.node}, we say {refusals}"
    # by names (matchFields) the scheduler leaves nodes out before its filters
    same = "matchFields" in str(case.pending) or dict(reasons) == verdict.reasons
    return "" if same else f"the scheduler counts {verdict.reasons}, we count {dict(reasons)}"
