"""Looks up whose pods are a target's, at a pace that whoever makes pods cannot raise.

A pod that names a controller that is not known costs a list (offbus_steps.watch.owners), and whoever may create pods
in a target's namespace decides how many do. So there are `BURST` looks at once, then one every `EVERY_S` seconds, and
`MOST` in a run. A pod that finds none left waits for the next, and one list answers for all that wait; until then it is
none of the target's, which errs on the side of the guards: too few healthy replicas, no proof, no location. That it is
so is told once, and once more when there are no looks left.
"""

from collections.abc import Iterable

import anyio

from offbus.environment import RunHandle
from offbus_steps.background_tasks import Background
from offbus_steps.port import Gone, Objects, Ref, Unavailable
from offbus_steps.watch.event_log import Observations
from offbus_steps.watch.projections import PodProjection, Projection, WorkloadProjection
from offbus_steps.workloads.target import Target

__all__ = ["BURST", "EVERY_S", "MOST", "Lookups"]

BURST = 50
"""Looks at once: a rollout of a LeaderWorkerSet has a StatefulSet for each group."""
EVERY_S = 1.0
MOST = 5_000
"""Of a run. What needs more than an hour of looks without a pause is no rollout."""
_SAME_TIME = 1e-6


class Lookups:
    """Of one run. Each look is one list of each kind that is between a pod and its workload, at most."""

    def __init__(self, objects: Objects, run: RunHandle, tasks: Background, log: Observations) -> None:
        self._objects, self._run, self._tasks, self._log = objects, run, tasks, log
        self.remaining = MOST
        self.strangers: set[str] = set()
        """Pods that are there and were told to be none of a target's, by uid."""
        self._targets: dict[str, dict[Ref, Target]] = {}
        """By namespace: whose pods are told apart from those that only have their labels."""
        self._free_at = 0.0
        """When all looks that were made are paid for; at most `BURST` of them ahead of the clock."""
        self._waiting: dict[Ref, Target] = {}
        self._catches_up = False
        self._said: set[str] = set()
        self._log.world.owners.unread = self._unread

    async def add(self, target: Target) -> None:
        """Tell the pods of this one apart, too: those that are known now, and all that `learn` is given."""
        self._targets.setdefault(target.namespace, {})[target.ref] = target
        await self._look(target, list(self._log.world.pods(target.namespace)), "")

    async def learn(self, told: Iterable[Projection], version: str) -> None:
        """Whose pods these are, as told at a version. May raise Unavailable: then they are told again."""
        told = list(told)
        pods = [one for one in told if isinstance(one, PodProjection)]
        for space in {one.ref.namespace for one in pods}:
            for target in self._targets.get(space, {}).values():
                await self._learn(target, pods, version)
        for one in told:
            workload = self._targets.get(one.ref.namespace, {}).get(one.ref)
            if workload is None:
                continue
            was = self._log.world.workload(one.ref)
            if isinstance(one, WorkloadProjection) and (was is None or was.uid != one.uid):
                await self._log.world.owners.learn_again(self._objects, workload)
            await self._learn(workload, list(self._log.world.pods(one.ref.namespace)), version)

    def forget(self, pod: PodProjection) -> None:
        """It is gone."""
        self.strangers.discard(pod.uid)

    def missed(self) -> str | None:
        """Whose pods are not known because there was no look left for them, in words."""
        named = ", ".join(map(str, self._waiting.values()))
        return f"the controllers of pods with the labels of {named} are not looked up yet" if named else None

    async def _learn(self, target: Target, pods: Iterable[PodProjection], version: str) -> None:
        """Look, if there is a look; else later, for all of the target's pods at once."""
        its = _with_labels(target, pods)
        firsts = {one.controller for one in its}
        if not self._log.world.owners.lacks(target, firsts, version):
            self._tell_strangers(target, its)
        elif target.ref not in self._waiting and self._take():
            await self._look(target, its, version)
        else:
            self._wait(target)
            self._tell_strangers(target, its)

    async def _look(self, target: Target, pods: Iterable[PodProjection], version: str) -> None:
        """Learn whose these are; tell once of each that has the target's labels and is not its own."""
        its = _with_labels(target, pods)
        if await self._log.world.owners.learn(
            self._objects, target, {one.controller for one in its}, version
        ):
            self._log.wake()
        self._tell_strangers(target, its)

    def _tell_strangers(self, target: Target, its: Iterable[PodProjection]) -> None:
        for one in its:
            why = self._log.world.owners.why_not(one.controller, target.ref)
            if why and one.uid not in self.strangers:
                self.strangers.add(one.uid)
                to = f"has the labels of {target}, and is none of its pods: {why}"
                self._run.observed(lane="pod", subject=str(one.ref), to=to, tone="caution")

    def _wait(self, target: Target) -> None:
        self._waiting[target.ref] = target
        if not self.remaining:
            self._say(
                f"controllers of pods were looked up {MOST} times, the most of a run: pods with a target's labels "
                "whose controller is not known by now are none of the target's from now on"
            )
            return
        self._say(
            f"so many pods name controllers that are not known that these are looked up once a second; until then such "
            f"a pod is none of {target}'s"
        )
        if not self._catches_up:
            self._catches_up = True
            self._tasks.start(self._catch_up, name="look up the owners of pods")

    async def _catch_up(self) -> None:
        """Look for those that wait, at the pace that there is."""
        while self._waiting and self.remaining:
            await anyio.sleep(self._pause_s())
            if not self._take():
                continue
            ref = next(iter(self._waiting))
            target = self._waiting.pop(ref)  # first: what is told meanwhile waits for the next look
            try:
                await self._look(target, list(self._log.world.pods(target.namespace)), "")
            except (Unavailable, Gone):
                self._waiting[ref] = target
        self._catches_up = False

    def _pause_s(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._free_at - (BURST - 1) * EVERY_S - anyio.current_time())

    def _take(self) -> bool:
        if not self.remaining or self._pause_s() > _SAME_TIME:
            return False
        self.remaining -= 1
        self._free_at = max(self._free_at, anyio.current_time()) + EVERY_S
        return True

    def _unread(self, why: str) -> None:
        """Roles from before offbus told pods apart: a recovery goes on without."""
        self._say(f"pods are told by their labels alone: {why}")

    def _say(self, to: str) -> None:
        if to not in self._said:
            self._said.add(to)
            self._run.observed(lane="watch", subject="owners of pods", to=to, tone="caution")


def _with_labels(target: Target, pods: Iterable[PodProjection]) -> list[PodProjection]:
    return [one for one in pods if target.selects(one.labels) and one.ref.namespace == target.namespace]
