"""Shows a fault on its planes, verifies it, and removes it.

Job: check every plane first, then write and read back the kernel lines, then arm the page and read it back. A plane
that fails raises `PlaneFailedError` with its name and with the lines that are in the log by then, since a line cannot
be removed; the caller disarms. `code` distinguishes "could not be done" from "was done and does not show". It stores no
faults.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_agent.kernel_log.line import KernelLine, ResetLine
from offbus_agent.kernel_log.log import KernelLog, KernelLogError, NotShown
from offbus_agent.lease_time import boottime_ns, expires_ns
from offbus_agent.models import FaultRequest, KernelEntry
from offbus_agent.planes.page_plane import NodePage, PageFailedError, PageNotShownError
from offbus_agent.planes.resolve import Plan, line

__all__ = ["Applied", "FailureCode", "PlaneFailedError", "Planes"]


FailureCode = Literal["plane_failed", "not_shown"]
"""It could not be done, or it was done and its effect did not show."""


class PlaneFailedError(Exception):
    """Raised when a plane cannot show the fault.

    `kernel`: the lines that were already written and read back; `unread`: those that were written and may still show.
    """

    def __init__(
        self,
        plane: Plane,
        message: str,
        hint: str = "",
        *,
        code: FailureCode = "plane_failed",
        kernel: list[KernelEntry] | None = None,
        unread: list[str] | None = None,
    ) -> None:
        self.kernel = kernel or []
        self.unread = unread or []
        written = f"; {len(self.kernel)} kernel lines were already written and stay" if self.kernel else ""
        super().__init__(f"plane {plane}: {message}{written}")
        self.plane = plane
        self.why = message
        self.hint = hint
        self.code: FailureCode = code


@dataclass(frozen=True, slots=True)
class Applied:
    """The armed fault, read back. `generation` is 0 without cuda and nvml."""

    armed_ns: int
    expires_ns: int
    generation: int = 0
    kernel: list[KernelEntry] = field(default_factory=list)


class Planes:
    """The planes of one node."""

    def __init__(self, kernel: KernelLog, page: NodePage) -> None:
        self._kernel = kernel
        self._page = page

    async def apply(self, request: FaultRequest, made: Plan, ttl_s: float) -> Applied:
        """Show the fault on all its planes. Raises PlaneFailedError."""
        for plane in sorted(PAGE_PLANES & made.planes):
            self.check(plane)
        lines = await asyncio.to_thread(self._write_lines, request, made)
        armed_ns = boottime_ns()
        ends_ns = expires_ns(armed_ns, ttl_s)
        generation = self._arm_page(request, made, armed_ns, ends_ns, lines)
        return Applied(armed_ns=armed_ns, expires_ns=ends_ns, generation=generation, kernel=lines)

    def disarm(self, fault: str) -> None:
        """Remove the fault from the page, read back; kernel lines stay. Raises PlaneFailedError."""
        try:
            self._page.disarm(fault)
        except PageFailedError as err:
            raise _of_page(Plane.CUDA, err, "it heals when its lease or the heartbeat ends") from err

    def renew(self, fault: str, ends_ns: int) -> None:
        """Change the fault's expiry on the page."""
        self._page.renew(fault, ends_ns)

    def keep_only(self, generations: Mapping[str, int]) -> set[str]:
        """Disarm what is not one of these (fault id -> generation); returns the ids that are not on the page."""
        return self._page.keep_only({fault: number for fault, number in generations.items() if number})

    def check(self, plane: Plane) -> None:
        """Raises PlaneFailedError when a plane cannot be used now. Blocking for the kernel log: others may have it."""
        hint = "see GET /health for the state of all planes"
        try:
            if plane is Plane.KERNEL:
                self._kernel.check()
            else:
                self._page.check()
        except KernelLogError as err:
            raise PlaneFailedError(plane, err.message, hint) from err
        except PageFailedError as err:
            raise _of_page(plane, err, hint) from err

    async def clear(self, gpu: str) -> KernelEntry:
        """Write the responder's documented clear for a GPU, read back. Raises PlaneFailedError, UnsafeLine."""
        return await asyncio.to_thread(self._write_line, ResetLine(gpu), [])

    def path(self, plane: Plane) -> str:
        """The file that the plane writes to."""
        return str(self._kernel.path if plane is Plane.KERNEL else self._page.path)

    def _write_lines(self, request: FaultRequest, made: Plan) -> list[KernelEntry]:
        """Runs in a thread: reading back may have to wait."""
        written: list[KernelEntry] = []
        if Plane.KERNEL not in made.planes:
            return written
        self.check(Plane.KERNEL)
        for gpu in made.gpus:
            written.append(self._write_line(line(made, gpu, request), written))
        return written

    def _write_line(self, line: KernelLine, before: list[KernelEntry]) -> KernelEntry:
        try:
            record = self._kernel.record(line)
        except NotShown as err:
            unread = [] if err.lost else [err.text]
            raise PlaneFailedError(
                Plane.KERNEL, err.message, err.hint, code="not_shown", kernel=before, unread=unread
            ) from err
        except KernelLogError as err:
            raise PlaneFailedError(Plane.KERNEL, err.message, err.hint, kernel=before) from err
        return KernelEntry(seq=record.seq, at_ns=record.at_ns, line=record.text)

    def _arm_page(
        self, request: FaultRequest, made: Plan, armed_ns: int, ends_ns: int, lines: list[KernelEntry]
    ) -> int:
        wanted = [plane for plane in Plane if plane in PAGE_PLANES & made.planes]
        if not wanted:
            return 0
        try:
            return self._page.arm(request, made, armed_ns, ends_ns)
        except PageFailedError as err:
            raise _of_page(wanted[0], err, "see the agent's log", lines) from err


def _of_page(
    plane: Plane, err: PageFailedError, hint: str, lines: list[KernelEntry] | None = None
) -> PlaneFailedError:
    code: FailureCode = "not_shown" if isinstance(err, PageNotShownError) else "plane_failed"
    return PlaneFailedError(plane, str(err), hint, code=code, kernel=lines)
