"""The roles of deploy/ are what is asked, no less and no more: whole drills and recoveries under them.

The other tests run as an administrator, so none of them sees a right that is missing. Here the runner is a user with
the bindings of deploy/README.md alone, and reaper, webhook and stand-in responder have their ServiceAccounts' tokens.
What each of them asked, and what was refused, the API server's audit log says.
"""

import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
import yaml

from offbus_steps.kubernetes.ownership.published_reports import report_name
from offbus_steps.kubernetes.ownership.run_lease import LEASE
from offbus_steps.kubernetes.port import AGENT_NAMESPACE
from offbus_steps.port import Ref
from tests.kits.kubernetes.audit import FORBIDDEN, Asked
from tests.kits.kubernetes.grants import Grant, grants_of, unused
from tests.kits.kubernetes.killed_runs import Process, changes, gone, seen, watchdog
from tests.kits.kubernetes.lone_server import ADMISSION
from tests.kits.kubernetes.role_stories import STORIES, Story
from tests.kits.kubernetes.role_world import DRILLS, RESPONDERS, RUNNER, RoleWorld, role_world
from tests.kits.watching import watch_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
STANDS = "started: hold"
BY_WEBHOOK = {"by the webhook": STORIES["by admission, calls fail"]}
SYSTEM = AGENT_NAMESPACE
WHO: Mapping[str, tuple[str, Mapping[tuple[str, str], str]]] = {
    "runner": (
        RUNNER,
        {
            ("clusterrole", "offbus-runner"): "",
            ("clusterrole", "offbus-runner-admission"): "",
            ("clusterrole", "offbus-runner-drill"): DRILLS,
            ("role", "offbus-runner"): SYSTEM,
        },
    ),
    "reaper": (
        f"system:serviceaccount:{SYSTEM}:offbus-reaper",
        {
            ("clusterrole", "offbus-reaper"): "",
            ("clusterrole", "offbus-reaper-admission"): "",
            ("clusterrole", "offbus-reaper-drill"): DRILLS,
            ("role", "offbus-reaper"): SYSTEM,
        },
    ),
    "webhook": (f"system:serviceaccount:{SYSTEM}:offbus-webhook", {("role", "offbus-webhook"): SYSTEM}),
    "detector": (
        f"system:serviceaccount:{RESPONDERS}:standin-detector",
        {
            ("clusterrole", "offbus-standin-detector"): "",
            ("role", "offbus-standin-reporter"): RESPONDERS,
        },
    ),
    "controller": (
        f"system:serviceaccount:{RESPONDERS}:standin-controller",
        {
            ("clusterrole", "offbus-standin-controller"): "",
            ("role", "offbus-standin-datastore"): RESPONDERS,
        },
    ),
}
"""The user's name, and its roles with the namespaces in which they are bound."""
HELD_UP = "it is waited for by watch where a finalizer holds up its deletion"
WATCHED = {
    f"watch {one}": HELD_UP
    for one in (
        f"configmaps in {DRILLS}",
        f"poddisruptionbudgets.policy in {DRILLS}",
        f"services in {DRILLS}",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    )
}
LEFT = {"patch nodes/status": "conditions that a responder leaves; this one clears its own"}
BETWEEN = {
    f"list {one} in {DRILLS}": "whose pods a graph's are, by operators that are not played"
    for one in (
        "disaggregatedsets.disaggregatedset.x-k8s.io",
        "dynamocomponentdeployments.nvidia.com",
        "podcliques.grove.io",
        "podcliquescalinggroups.grove.io",
        "podcliquesets.grove.io",
    )
}
UNUSED: Mapping[str, Mapping[str, str]] = {
    "runner": {
        **WATCHED,
        **LEFT,
        **BETWEEN,
        f"watch leases.coordination.k8s.io in {SYSTEM}": "`offbus recover` of a run whose owner may be alive",
    },
    "reaper": {
        **WATCHED,
        **LEFT,
        **BETWEEN,
        "watch gpuresets.janitor.dgxc.nvidia.com": HELD_UP,
        "watch rebootnodes.janitor.dgxc.nvidia.com": HELD_UP,
        f"create leases.coordination.k8s.io in {SYSTEM}": "records of a run whose Lease somebody has deleted",
        f"get pods in {DRILLS}": "pods with faulted processes are restarted; here is no process",
    },
    "detector": {
        **{f"{verb} events": "faults that are not fatal" for verb in ("get", "create", "patch")},
        "get gpuresets.janitor.dgxc.nvidia.com": "its janitor plays them, as RebootNodes",
        "patch gpuresets/status.janitor.dgxc.nvidia.com": "its janitor plays them, as RebootNodes",
    },
    "controller": {
        "create events": "drains that wait for pods (AllowCompletion)",
        "delete pods": "drains that force (DeleteAfterTimeout)",
    },
}
"""What these stories do not need: why it is granted."""


@dataclass(frozen=True)
class Told:
    """What became of a story: of an interrupted run, and of a killed one."""

    code: int
    interrupted: str
    reaped: str


@dataclass
class Played:
    """All of it, and what each asked meanwhile."""

    told: dict[str, Told] = field(default_factory=dict)
    asked: dict[str, list[tuple[Asked, int]]] = field(default_factory=dict)
    grants: dict[str, list[Grant]] = field(default_factory=dict)

    async def collect(self, world: RoleWorld) -> None:
        """From a world that ends now."""
        for who, (user, roles) in WHO.items():
            self.asked.setdefault(who, []).extend(world.asked_by(user))
            self.grants[who] = [
                grant
                for (kind, name), bound in roles.items()
                for grant in grants_of(await world.role(kind, name), bound)
            ]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Twice: the second time on a server that serves no admission policies, so that the webhook is used."""
    found = Played()
    for name, flags, stories in (("policies", ADMISSION, STORIES), ("webhook", (), BY_WEBHOOK)):
        folder = tmp_path_factory.mktemp(name)
        anyio.run(partial(play, found, folder, stories, flags, webhook=not flags))
    return found


async def play(
    found: Played, folder: Path, stories: Mapping[str, Story], flags: Sequence[str], *, webhook: bool
) -> None:
    async with role_world(folder, flags) as world:
        if webhook:
            await world.webhook()
        reaper = await world.reaper()
        for number, (name, story) in enumerate(stories.items()):
            await world.respond(**story.responder)
            first = await stands(world, story, f"s{number}-interrupted")
            first.send(signal.SIGINT)
            code = await first.ended()
            second = await stands(world, story, f"s{number}-killed")
            lease = await world.port.objects.get(Ref("Lease", LEASE, AGENT_NAMESPACE))
            run = lease["spec"]["holderIdentity"].partition("/")[0]
            second.kill()
            report = await seen(world.port, Ref("ConfigMap", report_name(run), AGENT_NAMESPACE), reaper)
            await gone(world.port, Ref("Lease", LEASE, AGENT_NAMESPACE), reaper)
            found.told[name] = Told(code, first.said, report["data"]["summary"])
        await found.collect(world)


async def stands(world: RoleWorld, story: Story, name: str) -> Process:
    """The runner of a story, once it stands."""
    manifest = json.loads(json.dumps(story.manifest))  # no aliases, which a manifest may not have
    (world.folder / f"{name}-target.yaml").write_text(yaml.safe_dump_all(manifest))
    planned = await world.plan(story.scenario(name), name)
    assert "a run may start" in planned, planned
    runner = world.run(story.scenario(name), name)
    with watchdog(runner):
        async with anyio.create_task_group() as beside:
            beside.start_soon(must_not_end, runner)
            if story.until:
                await appears(world, story.until)
            else:
                await watch_until(world.folder, lambda: STANDS in runner.said)
            beside.cancel_scope.cancel()
    return runner


async def must_not_end(runner: Process) -> None:
    code = await runner.ended()
    raise AssertionError(f"the run ended with {code}: {runner.said}")


async def appears(world: RoleWorld, kind: str) -> None:
    """Wait until there is one of a kind."""
    listing = await world.port.objects.list(kind)
    if not listing.items:
        async with changes(world.port, Ref(kind, ""), listing.resource_version) as events:
            await anext(events)


@pytest.mark.parametrize("name", [*STORIES, *BY_WEBHOOK])
def test_a_runner_with_these_roles_runs_and_undoes(played: Played, name: str) -> None:
    told = played.told[name]
    assert (told.code, "residue: none" in told.interrupted) == (130, True), told.interrupted


@pytest.mark.parametrize("name", [*STORIES, *BY_WEBHOOK])
def test_the_reaper_with_these_roles_finishes_a_killed_run(played: Played, name: str) -> None:
    assert played.told[name].reaped.endswith("residue: none"), played.told[name].reaped


@pytest.mark.parametrize("who", WHO)
def test_nothing_that_is_asked_is_refused(played: Played, who: str) -> None:
    assert sorted({str(one) for one, code in played.asked[who] if code == FORBIDDEN}) == []


@pytest.mark.parametrize("who", WHO)
def test_nothing_is_granted_that_is_not_asked(played: Played, who: str) -> None:
    asked = [one for one, code in played.asked[who] if code != FORBIDDEN]
    assert unused(played.grants[who], asked) == sorted(UNUSED.get(who, {}))
