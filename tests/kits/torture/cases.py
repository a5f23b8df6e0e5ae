"""The kills: a drill on a living sandbox, struck, recovered, and compared with how it was before.

A case is a name and a strike. Its residue is whatever differs once `offbus recover` has ended, and a recovery that does
not say that nothing is left. Something that is gone a moment later (a controller was at work) is `late`: told, not
counted, for a recovery that ends before the world is as it was is worth knowing. What comes after that counts: the
responder of the sandbox is quick, so that what lives on inside it shows within `LATER_S`.
"""

import shutil
import time
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from random import Random

import anyio

from offbus_sandbox.responder.detector.inotify import Folder
from tests.kits.torture.picture import Picture, differences, picture
from tests.kits.torture.sandbox import TortureSandbox
from tests.kits.torture.strike import Came, Strike, agents_of, strike

__all__ = [
    "Case",
    "Ended",
    "Reference",
    "all_kills",
    "compare",
    "kill",
    "kill_recoveries",
    "recover",
    "reference",
]

LATE_S = 30.0
"""A controller that has not settled by then has not settled. A watchdog: what is late is looked at as it changes."""
LATER_S = 2.0
"""More than the responder's longest way from a line to a repair (`ResponderConfig.longest_way_s`: 0.9 s here)."""
NOTHING_BEGAN = ("before its first event", "there is no run in")
"""What `recover` says of a run that was killed before it could change anything."""


@dataclass(frozen=True)
class Case:
    """One kill."""

    name: str
    blow: Strike
    agents: bool = False
    """The node agents are killed in the same moment."""


@dataclass
class Ended:
    """What became of a case."""

    name: str
    kills: int = 0
    damaged: int = 0
    """Journals that were cut or changed."""
    residue: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    note: str = ""
    left_before: bool = False
    """Something was left before the recovery: a torture in which that never is so proves nothing."""


@dataclass(frozen=True)
class Reference:
    """A drill that nobody struck."""

    records: int
    seconds: float


def reference(sandbox: TortureSandbox) -> Reference:
    """Play the drill once. Raises RuntimeError when it does not pass: then kills would prove nothing."""
    begun = time.monotonic()
    came = strike(sandbox, Strike(), "run", sandbox.scenario, "--view", "quiet")
    if came.code != 0:
        raise RuntimeError(f"the drill does not pass by itself (exit code {came.code}):\n{came.output}")
    shutil.rmtree(sandbox.runs)
    return Reference(came.records, time.monotonic() - begun)


def all_kills(known: Reference, random: Random, instants: int = 50) -> list[Case]:
    """Every kill, in an order of which any beginning is an even sample of ways and records.

    Records of a drill vary by a few from run to run: some more than the known ones are tried.
    """
    records = range(1, known.records + 6)
    ways = [
        [Case(f"after record {at}", Strike(at)) for at in records],
        [Case(f"in the middle of record {at}", Strike(at, "torn")) for at in records],
        [Case(f"before record {at}", Strike(at, "before")) for at in records],
        [Case(f"agents alone, at record {at}", Strike(at, "spare"), agents=True) for at in records],
        [Case(f"runner and agents, at record {at}", Strike(at), agents=True) for at in records],
        [Case(f"with shifted clocks, after record {at}", Strike(at, shifted=True)) for at in records],
        [_instant(known, random) for _ in range(instants)],
    ]
    for way in ways:
        random.shuffle(way)
    return [case for row in zip_longest(*ways) for case in row if case is not None]


def _instant(known: Reference, random: Random) -> Case:
    """Anywhere between two records, or after the next ones: told from a record, however fast the machine is today."""
    at, us = random.randint(1, known.records), random.randint(1, int(3e6 * known.seconds / known.records))
    return Case(f"{us} us after record {at}", Strike(at, us=us))


def kill(sandbox: TortureSandbox, before: Picture, case: Case) -> Ended:
    """Play, strike, recover, compare."""
    blow = replace(case.blow, also=agents_of(sandbox)) if case.agents else case.blow
    came = strike(sandbox, blow, "run", sandbox.scenario, "--view", "quiet")
    ended = Ended(case.name, kills=int(came.struck))
    ended.left_before = bool(differences(before, picture(sandbox)))
    _judge_run(ended, case.blow, came, agents=case.agents)
    recover(sandbox, ended, came.records)
    compare(sandbox, before, ended)
    return ended


def kill_recoveries(sandbox: TortureSandbox, before: Picture, at: int, step: int = 1) -> Ended:
    """Kill the runner after a record, then each recovery after `step` records more than the one before it."""
    ended = Ended(f"after record {at}, and recover at each of its own")
    came = strike(sandbox, Strike(at), "run", sandbox.scenario, "--view", "quiet")
    ended.kills, own = int(came.struck), 1
    while (again := strike(sandbox, Strike(own), "recover")).struck:
        ended.kills += 1
        own += step
    if again.code != 0:
        ended.residue.append(f"the last recover ended with {again.code}: {_last(again.output)}")
    recover(sandbox, ended, came.records)
    compare(sandbox, before, ended)
    return ended


def _judge_run(ended: Ended, blow: Strike, came: Came, *, agents: bool) -> None:
    if not came.struck:
        ended.note = "not struck; "
    if came.struck and blow.how != "spare":
        return
    ended.note += f"the run ended with {came.code}"
    allowed = (0, 1, 3) if agents else (0,)
    if came.code not in allowed:
        ended.residue.append(f"the run itself ended with {came.code}: {_last(came.output)}")


def recover(sandbox: TortureSandbox, ended: Ended, records: int) -> None:
    """Run `offbus recover`; what it says is left is residue."""
    came = strike(sandbox, Strike(), "recover")
    none_began = records <= 1 and any(words in came.output for words in NOTHING_BEGAN)
    if came.code != 0 and not none_began:
        ended.residue.append(f"recover ended with {came.code}: {_last(came.output)}")
    marks = [path for path in sandbox.runs.glob("*/unfinished") if (path.parent / "journal.jsonl").exists()]
    if marks:
        ended.residue.append("the run is still marked as unfinished")


def compare(sandbox: TortureSandbox, before: Picture, ended: Ended) -> None:
    """Whatever differs from before is residue; runs that left nothing are forgotten."""
    left, late = anyio.run(partial(_settled, sandbox, before))
    ended.residue += left
    ended.late = [] if left else late
    if not left:
        ended.residue += [f"later: {one}" for one in anyio.run(partial(_later, sandbox, before))]
    if not ended.residue:
        for run in sandbox.runs.iterdir() if sandbox.runs.exists() else ():
            if run.name[0] != ".":
                shutil.rmtree(run)


async def _settled(sandbox: TortureSandbox, before: Picture) -> tuple[list[str], list[str]]:
    """What differs in the end, and what differed at first. Looks again whenever the store has changed."""
    with Folder(sandbox.layout.real) as store:
        first = left = differences(before, picture(sandbox))
        with anyio.move_on_after(LATE_S):
            while left:
                await store.changed()
                left = differences(before, picture(sandbox))
        return left and differences(before, picture(sandbox)), first


async def _later(sandbox: TortureSandbox, before: Picture) -> list[str]:
    """What differs at any time within `LATER_S`, although nothing did: a responder comes, and goes."""
    seen: dict[str, None] = {}
    with Folder(sandbox.layout.real) as store, anyio.move_on_after(LATER_S):
        while True:
            seen.update(dict.fromkeys(differences(before, picture(sandbox))))
            await store.changed()
    return list(seen)


def _last(output: str, lines: int = 6) -> str:
    return " | ".join(output.strip().splitlines()[-lines:])
