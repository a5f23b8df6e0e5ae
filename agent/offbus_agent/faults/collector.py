"""Collects evidence beside everything else: a lease ends on time however much processes write.

Job: one look at a time, in a thread, whenever somebody rings or asks; then a rest four times as long as the look took,
so that processes cannot make the agent use more than a fifth of a processor. A look that fails is a bug: it is logged,
and the next one tries again, because leases, expiry and disarm do not depend on it. A caller that wants what is new
waits for a look that begins after its question, but only for a bounded time: then it gets what was known before. An
arming, too, waits for its look a bounded time, and nobody waits until rows are freed: a file of a pod may keep a look
from ending. While the kernel-log helper is away, processes cannot be looked at: it is logged once, and tried again with
the longest rest in between.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import ParamSpec, Protocol, TypeVar

from offbus_agent.faults.process_evidence import Arming, Evidence
from offbus_agent.faults.registry import FaultBook
from offbus_agent.faults.store import StoredFault
from offbus_agent.kmsg_helper import HelperUnreachable
from offbus_agent.lease_time import boottime_ns

__all__ = ["REST_S", "Collector", "InThread"]

REST_S = 0.01
"""The shortest rest after a look."""
_LONGEST_REST_S = 1.0
_SHARE = 4
"""How many times as long as the look before it a rest is."""
CENSUS_WITHIN_S = 5.0
"""How long an arming waits until the processes have been looked at."""
_NEWS_WITHIN_S = 1.0
"""How long an answer waits for a look."""
_P = ParamSpec("_P")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class InThread(Protocol):
    """Runs a blocking function off the event loop, as asyncio.to_thread does."""

    def __call__(
        self, func: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Awaitable[_T]: ...  # pragma: no cover


class Collector:
    """Passes what `Evidence` sees on to the faults of the book."""

    def __init__(self, book: FaultBook, evidence: Evidence, in_thread: InThread = asyncio.to_thread) -> None:
        self._book = book
        self._evidence = evidence
        self._in_thread = in_thread
        self._asked = asyncio.Event()
        self._begun = self._ended = 0
        """Looks, counted."""
        self._over = asyncio.Event()
        """Set, and replaced by a new one, when a look has ended."""
        self._alone = asyncio.Lock()
        self._handed_over: set[int] = set()
        """Generations whose rows are to be freed."""
        self._looking: set[asyncio.Task[str]] = set()
        self._helper_is_away = False

    def ask(self) -> None:
        """There may be something new."""
        self._asked.set()

    async def look_around(self) -> None:
        """Remember which processes a fault can affect, before it is armed; not longer than CENSUS_WITHIN_S.

        What does not end by then goes on: a process that ends at once may not be found.
        """

        async def look() -> str:
            try:
                async with self._alone:
                    await self._in_thread(self._evidence.look_around)
            except HelperUnreachable as err:
                return str(err)
            return ""

        task = asyncio.create_task(look())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)
        done, _ = await asyncio.wait({task}, timeout=CENSUS_WITHIN_S)
        why = task.result() if done else f"not within {CENSUS_WITHIN_S:g} s"  # raises what it raised
        if why:
            _log.warning("the processes were not looked at: %s; armed all the same", why)

    async def news(self, within_s: float = _NEWS_WITHIN_S) -> None:
        """Wait until what was reported before the call has been read, or until `within_s` have passed."""
        # A look that is going on may have read the rows already: only the next one is sure to find what is there now.
        wanted = self._begun + 1
        self.ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._ended < wanted:
                    await self._over.wait()

    def forget(self, stored: StoredFault) -> None:
        """Free the rows of a fault whose evidence was handed over, after the next look."""
        if stored.fault.generation:
            self._handed_over.add(stored.fault.generation)
            self.ask()

    async def tidy(self) -> None:
        """Remove what pods left that are gone, once it has been read. What fails is logged, and tried again."""
        await self.news()
        try:
            async with self._alone:
                await self._in_thread(self._evidence.tidy)
        except HelperUnreachable as err:
            self._is_away(err)
        except Exception:  # noqa: BLE001  what a pod left may end nobody
            _log.exception("what pods left was not removed")

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._asked.wait()
            # Before the look: who rings while it goes on gets another one.
            self._asked.clear()
            took_s = await self._look()
            if self._helper_is_away:
                self.ask()
                took_s = _LONGEST_REST_S
            await asyncio.sleep(min(max(REST_S, _SHARE * took_s), _LONGEST_REST_S))

    async def _look(self) -> float:
        """One look; how many seconds it took."""
        begun_ns = boottime_ns()
        self._begun += 1
        try:
            async with self._alone:
                faults = list(self._book.observed())
                seen = await self._in_thread(self._evidence.look, [Arming.of(stored) for stored in faults])
                self._book.take_in({stored.fault.id: stored for stored in faults}, seen)
                if handed_over := frozenset(self._handed_over):
                    await self._in_thread(self._evidence.forget, handed_over)
                    # Only these: others may have been handed over while they were freed.
                    self._handed_over -= handed_over
            self._is_back()
        except HelperUnreachable as err:
            self._is_away(err)
        except Exception:  # noqa: BLE001  no evidence may end the keeper of leases: logged as the bug that it is
            _log.exception("evidence was not collected")
        self._ended = self._begun
        self._over.set()
        self._over = asyncio.Event()
        return (boottime_ns() - begun_ns) / 1e9

    def _is_away(self, why: HelperUnreachable) -> None:
        if not self._helper_is_away:
            _log.warning("processes are not looked at: %s; tried again every %g s", why, _LONGEST_REST_S)
        self._helper_is_away = True

    def _is_back(self) -> None:
        if self._helper_is_away:
            _log.info("processes are looked at again")
        self._helper_is_away = False
