"""The detector: follows one node's kernel log and sets the node's condition as NVSentinel would.

One loop: wait for a change (or NVSentinel's poll), read the boot id and the new records, publish, save the position. A
first start begins at the log's end; a later start continues at the saved position. A changed boot id is a reboot of
the node: it clears the check, and the monitor starts anew, as the real one does then. Whether that clears the check of
GPUs that are gone, too, is in the state; where that is gone itself, the node's condition tells it.

A reset line for a GPU that the monitor does not know blinds it, as it blinds NVSentinel's, which tries the entry again
without end: nothing of the log is seen any more, until the monitor is restarted (then the same entry comes first, with
the metadata as it is by then) or the node reboots. The real one burns a core and writes 100,000 lines in seconds
meanwhile; this one says it once and waits.

Failures: an unreachable API blocks the loop (nothing is skipped); an unreadable log ends the program. Must not: read
anything of the node agent except the kernel log.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import anyio

from offbus_agent.detectors.journald import journal_entry
from offbus_sandbox.responder.boot_id import boot_id_folder, read_boot_id
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.detector.dedup import Dedup
from offbus_sandbox.responder.detector.gpu_metadata import MetadataFile
from offbus_sandbox.responder.detector.inotify import Folder
from offbus_sandbox.responder.detector.kernel_log import Device, open_kernel_log
from offbus_sandbox.responder.detector.publisher import Publisher
from offbus_sandbox.responder.detector.state import StateFile
from offbus_sandbox.responder.detector.xid_monitor import Stuck, XidMonitor
from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.nvsentinel import names
from offbus_steps.port import Port

__all__ = ["Detector"]

_NOT_STUCK = -1
_log = logging.getLogger(__name__)


class Detector:
    """One node's detector. `root` is the node's folder ("/" in a cluster); `log` its kernel log."""

    def __init__(self, node: str, root: Path, log: Path, port: Port, config: ResponderConfig) -> None:
        self._node = node
        self._root = root
        self._config = config
        self._log = open_kernel_log(log)
        self._state = StateFile(root)
        self._monitor = self._new_monitor()
        self._stuck_at = _NOT_STUCK
        self._dedup = Dedup(config.dedup_window_s, anyio.current_time)
        self._publisher = Publisher(port.objects, node, config)
        self._boot_id = ""
        self._cursor = -1

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the log until cancelled; `ready` is called once every later line will be handled."""
        with Folder(self._root) as folder, Folder(boot_id_folder(self._root)) as reboots:
            was = self._state.load()
            self._boot_id = was.boot_id
            self._cursor = self._log.last() if was.cursor is None else was.cursor
            self._monitor.fell_off = (
                was.fell_off if was.boot_id else await self._publisher.shows(names.FALLEN_OFF_CHECK)
            )
            await self._round()
            _log.info("following the kernel log after record %d", self._cursor)
            ready()
            async for _ in self._wakes(folder, reboots):
                await self._round()

    async def _wakes(self, folder: Folder, reboots: Folder) -> AsyncIterator[None]:
        while True:
            if self._config.poll_s:
                await anyio.sleep(self._config.poll_s)
            elif (
                self._stuck_at != _NOT_STUCK
            ):  # what is in the log stays unread there, and would wake us at once
                await reboots.changed()
            elif isinstance(self._log, Device):
                await _any_of(self._log.readable, reboots.changed)
            else:
                await _any_of(folder.changed, reboots.changed)
            yield

    async def _round(self) -> None:
        # The boot id first: records in the log when a new id is seen are of the old boot, and are cleared.
        now = read_boot_id(self._root)
        rebooted, blind = now != self._boot_id, self._stuck_at != _NOT_STUCK
        if blind and not rebooted:
            return
        cursor, events = (self._cursor, []) if blind else self._follow()
        if rebooted:
            cursor = max([cursor, self._stuck_at, *(record.seq for record in self._log.read(cursor))])
            events += self._monitor.rebooted()
            self._monitor, self._stuck_at = self._new_monitor(), _NOT_STUCK
        await self._publish(events)
        if (now, cursor) != (self._boot_id, self._cursor):
            self._state.save(boot_id=now, cursor=cursor, fell_off=self._monitor.fell_off)
        self._boot_id, self._cursor = now, cursor

    def _follow(self) -> tuple[int, list[HealthEvent]]:
        """The position up to which the log was handled, and the events of what was new."""
        cursor, events = self._cursor, list[HealthEvent]()
        for record in self._log.read(cursor):
            try:
                events += self._monitor.process(journal_entry(record).message)
            except Stuck as err:
                _log.error(
                    "blind until a restart: NVSentinel would try record %d for ever: %s", record.seq, err
                )
                self._stuck_at = record.seq
                break
            cursor = record.seq
        return cursor, events

    def _new_monitor(self) -> XidMonitor:
        metadata = MetadataFile(self._root)
        return XidMonitor(
            self._node,
            metadata.current,
            only_known_gpus=self._config.only_known_gpus,
            clock=anyio.current_time,
        )

    async def _publish(self, events: Sequence[HealthEvent]) -> None:
        news = [event for event in events if self._dedup.admits(event)]
        if news and self._config.detect_delay_s:
            await anyio.sleep(self._config.detect_delay_s)
        for event in news:
            await self._publisher.publish(event)


async def _any_of(*waits: Callable[[], Awaitable[None]]) -> None:
    """Return when the first of them has returned."""

    async def wait(one: Callable[[], Awaitable[None]]) -> None:
        await one()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for one in waits:
            tasks.start_soon(wait, one)
