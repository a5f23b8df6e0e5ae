"""`make torture`: kills drills everywhere, recovers, and compares. Exit code 0 when nothing was left, else 1.

    python -m tests.kits.torture.run [--seed N] [--minutes M | --full] [--only journals | --only drills] [--share K/N]

First journals (journals.py), then suspended runners (suspended.py), then kills on a living sandbox
(cases.py), in an order of which any beginning is an even sample; without --full it stops when the time is up.
After a residue the place is made anew, so that one does not show as many. Everything lies in a temporary folder, which
is kept only when there was residue (its runs are the evidence); no process outlives the command. With a seed, the N
shares of a full torture are together all of it: on several machines, or one after the other.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

from tests.kits.torture import journals
from tests.kits.torture.cases import Ended, Reference, all_kills, kill, kill_recoveries, reference
from tests.kits.torture.picture import Picture, picture
from tests.kits.torture.sandbox import TortureSandbox
from tests.kits.torture.strike import can_shift
from tests.kits.torture.suspended import POINTS, suspend

__all__ = ["main"]

JOURNALS_SHARE = 0.15
"""Of the time, for journals."""
Torture = Callable[[TortureSandbox, Picture], Ended]
Share = tuple[int, int]
"""Which one, of how many."""


@dataclass
class Total:
    """What has been counted; prints each case as it ends."""

    begun: float = field(default_factory=time.monotonic)
    kills: int = 0
    damaged: int = 0
    left_before: int = 0
    residue: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def add(self, ended: Ended) -> None:
        """Take a case in."""
        self.kills += ended.kills
        self.damaged += ended.damaged
        self.left_before += ended.left_before
        self.residue += [f"{ended.name}: {item}" for item in ended.residue]
        self.late += [f"{ended.name}: {item}" for item in ended.late]
        note = f" ({ended.note})" if ended.note else ""
        count = f"{ended.damaged} damaged" if ended.damaged else f"{ended.kills} killed"
        print(f"{self.seconds:7.1f}s  {ended.name}{note}: {count}, residue {len(ended.residue)}", flush=True)
        for item in ended.residue:
            print(f"          {item}", flush=True)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.begun

    def tell(self) -> int:
        """The end of the output, and the exit code."""
        for item in self.late:
            print(f"late (gone a moment after recover had ended): {item}")
        for item in self.residue:
            print(f"RESIDUE: {item}")
        print(
            f"{self.left_before} kills left something for recover to undo; {self.damaged} journals were damaged"
        )
        print(f"torture: {self.kills} kills, residue {len(self.residue)}")
        return 1 if self.residue else 0


def main(argv: list[str] | None = None) -> int:
    """Torture; the exit code."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=time.time_ns() % 1_000_000, help="of the instants and of the order"
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="begin nothing after this long")
    parser.add_argument("--full", action="store_true", help="everything, however long it takes")
    parser.add_argument("--only", choices=("journals", "drills"), help="one of the two parts")
    parser.add_argument(
        "--share", type=_share, default=(1, 1), metavar="K/N", help="every Nth case, from the Kth"
    )
    args = parser.parse_args(argv)
    seconds = None if args.full else args.minutes * 60
    print(
        f"torture: seed {args.seed}, {'everything' if args.full else f'{args.minutes:g} minutes'}", flush=True
    )
    total, random = Total(), Random(args.seed)
    if args.only != "drills":
        _journals(total, random, seconds, args.share)
    if args.only != "journals":
        _places(total, random, seconds, args.share)
    return total.tell()


def _share(text: str) -> Share:
    own, _, shares = text.partition("/")
    if not (own.isdigit() and shares.isdigit() and 1 <= int(own) <= int(shares)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N")
    return int(own), int(shares)


def _journals(total: Total, random: Random, seconds: float | None, share: Share) -> None:
    memory = Path("/dev/shm")  # fsync costs nothing there, and there are thousands
    with tempfile.TemporaryDirectory(prefix="obj-", dir=memory if memory.is_dir() else None) as folder:
        stages = journals.stages(Path(folder))
        numbers = list(range(1, len(stages) + 1))
        if seconds is not None:
            random.shuffle(numbers)
        for number in numbers[share[0] - 1 :: share[1]]:
            if seconds is not None and total.seconds > seconds * JOURNALS_SHARE:
                return
            total.add(journals.cuts(stages, number, step=1 if seconds is None else 11))
            total.add(
                journals.flips(stages[number - 1], random, all_of=_flipped(number, len(stages), seconds))
            )
            total.add(journals.scribbles(stages[number - 1], random))
            total.add(journals.recoveries(stages[number - 1]))


def _flipped(number: int, last: int, seconds: float | None) -> int:
    """Of how many records every bit is flipped: all of the whole journal, the last three of one that was cut short."""
    if seconds is not None:
        return 0
    return number if number == last else min(3, number)


def _places(total: Total, random: Random, seconds: float | None, share: Share) -> None:
    """Cases on a living sandbox; a new one after each residue."""
    known: Reference | None = None
    plan: Iterator[Torture] = iter(())
    while True:
        root = Path(tempfile.mkdtemp(prefix="obt-"))
        sandbox = TortureSandbox(root)
        try:
            sandbox.build()
            sandbox.up()
            if known is None:
                known = reference(sandbox)
                print(
                    f"{total.seconds:7.1f}s  a drill has {known.records} records and takes {known.seconds:.1f} s"
                )
                if not can_shift(sandbox):
                    print(
                        "time namespaces are not allowed here: of the clocks only the wall clock is shifted"
                    )
                plan = islice(_plan(known, random, full=seconds is None), share[0] - 1, None, share[1])
            clean = _until_residue(sandbox, plan, total, seconds)
        finally:
            sandbox.down()
        if clean:
            shutil.rmtree(root)
            break
        print(f"the evidence is in {sandbox.runs}", flush=True)
    if not total.left_before:
        total.residue.append("no kill left anything before its recovery: nothing was proven")


def _until_residue(
    sandbox: TortureSandbox, plan: Iterator[Torture], total: Total, seconds: float | None
) -> bool:
    """Whether the plan, or the time, came to its end; False after a residue."""
    before = picture(sandbox)
    for torture in plan:
        if seconds is not None and total.seconds > seconds:
            return True
        try:
            ended = torture(sandbox, before)
        except (RuntimeError, OSError, TimeoutError) as err:
            ended = Ended(_name(torture), residue=[f"it could not be judged: {type(err).__name__}: {err}"])
        total.add(ended)
        if ended.residue:
            return False
    return True


def _name(torture: Torture) -> str:
    """What is known of a case that never came to its end."""
    known = getattr(torture, "keywords", {})
    return str(known["case"].name if "case" in known else known)


def _plan(known: Reference, random: Random, *, full: bool) -> Iterator[Torture]:
    yield partial(suspend, point=POINTS[1])
    yield partial(suspend, point=POINTS[1], agents=True)
    yield partial(suspend, point=POINTS[0])
    kills = [partial(kill, case=case) for case in all_kills(known, random)]
    first = len(kills) if full else 14
    yield from kills[:first]
    for at in range(5, known.records, 10) if full else (random.randrange(known.records // 3, known.records),):
        yield partial(kill_recoveries, at=at, step=1 if full else 6)
    yield from kills[first:]


if __name__ == "__main__":
    sys.exit(main())
