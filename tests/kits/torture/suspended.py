"""The runner suspended (SIGSTOP) for longer than its lease: the node heals without it, and it notices.

While it is stopped, either the agent disarms the fault, or (with the agent suspended too) the page stays armed and the
shim ignores it: each of the two alone lets the target answer again. After SIGCONT the runner must begin no further
effect, must not arm again, must fail the drill for the lost lease, and must leave nothing.
"""

import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio

from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import RUN_ENDED, UNDO_RECORDED
from offbus.journal.reader import read_journal
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.responder.detector.inotify import Folder
from offbus_steps.inference_client.requests import Question, ask
from offbus_steps.port import Ref
from tests.kits.torture.cases import Ended, compare, recover
from tests.kits.torture.picture import Picture
from tests.kits.torture.sandbox import NAMESPACE, TortureSandbox
from tests.kits.torture.strike import Strike, agents_of, suspended

__all__ = ["POINTS", "suspend"]

HEALED_WITHIN_S = 30.0
POINTS = ('"kind":"fault_declared"', '"kind":"step_ended","step":"arm"')
"""Where the runner is stopped: right before it arms (then the fault is never made), and right after."""


def suspend(sandbox: TortureSandbox, before: Picture, point: str, *, agents: bool = False) -> Ended:
    """Suspend the runner at a record, and with `agents` all node agents with it, until the node has healed."""
    ended = Ended(f"suspended at {point.replace(chr(34), '')}" + (", agents too" if agents else ""), kills=1)
    blow = Strike(1, containing=point)
    with suspended(sandbox, blow, "run", sandbox.root / "expire.yaml", "--view", "quiet") as held:
        with _stopped(agents_of(sandbox) if agents else ()):
            if agents:
                anyio.run(partial(_until_answered, sandbox))
            else:
                anyio.run(partial(_until_disarmed, sandbox))
            armed = any(map(_is_armed, sandbox.nodes))
        records = len(_events(sandbox))
    if agents and point == POINTS[1] and not armed:
        ended.residue.append("the page was disarmed although all agents were suspended: this proved nothing")
    assert held.came is not None
    ended.residue += _judge(sandbox, held.came.code, records, expired=point == POINTS[1])
    recover(sandbox, ended, held.came.records)
    compare(sandbox, before, ended)
    return ended


def _judge(sandbox: TortureSandbox, code: int, records: int, *, expired: bool) -> Iterator[str]:
    """What the runner did wrong after it was resumed."""
    if not expired:
        return
    later = _events(sandbox)[records:]
    if code not in (1, 3):
        yield f"the drill ended with {code}, although its lease was lost"
    effects = [undo["describe"] for undo in map(UNDO_RECORDED.of, later) if undo is not None]
    if effects:
        yield f"resumed after its lease had expired, it went on to effects whose undos are: {effects}"
    if any(event["kind"] == EventKind.FAULT_DECLARED for event in later):
        yield "it armed again"
    ended = RUN_ENDED.of(later[-1]) if later else None
    if ended is None or not any("lease" in reason for reason in ended["reasons"]):
        yield f"the report does not name the lost lease: {later[-1:]}"


def _events(sandbox: TortureSandbox) -> list[Event]:
    return read_journal(next(sandbox.runs.glob("*/journal.jsonl"))).events


def _is_armed(node: Path) -> bool:
    return bool(struct.unpack_from("<I", (node / "run/offbus/page/ctl").read_bytes())[0])


async def _until_disarmed(sandbox: TortureSandbox) -> None:
    """When a lease expires, an agent clears its page, which wakes nobody, and then writes its state file. Raises
    TimeoutError."""
    with anyio.fail_after(HEALED_WITHIN_S):
        for node in sandbox.nodes:
            with Folder(node / "var/lib/offbus") as folder:
                while _is_armed(node):
                    await folder.changed()


async def _until_answered(sandbox: TortureSandbox) -> None:
    """The page is still armed; the target answers as soon as the shim no longer believes it. Raises TimeoutError."""
    question = Question(model="torture", prompt="still there?", max_tokens=1, stream=False)
    async with LocalPort(sandbox.layout.api) as port:
        with anyio.fail_after(HEALED_WITHIN_S):
            good = 0
            while good < 3:
                asked = await ask(port.traffic, Ref("Deployment", "kept", NAMESPACE), 8000, question, 5.0)
                good = good + 1 if asked.outcome.good else 0
                await anyio.sleep(0.1)  # a client's pace: only a call finds out what the shim believes


@contextmanager
def _stopped(pids: tuple[int, ...]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
