"""A fault on its planes: put it there, prove it, take it away.

Job: check every plane first, then write and read back the kernel lines, then arm the page and read it back. A plane
that fails raises `PlaneFailedError` with its name and with the lines that are in the log by then, since a line
cannot be taken back; the caller disarms. It keeps no record of faults.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from offbus_agent.effects import Plane
from offbus_agent.kernel_log import KernelLog, KernelLogError
from offbus_agent.leases import boottime_ns, expires_ns
from offbus_agent.models import FaultRequest, KernelEntry
from offbus_agent.node_page import NodePage, PageFailedError
from offbus_agent.plan import Plan, line

__all__ = ["Applied", "PlaneFailedError", "Planes"]

PAGE_PLANES = (Plane.CUDA, Plane.NVML)


class PlaneFailedError(Exception):
    """Raised when a plane cannot show the fault. `kernel` are the lines that were already written."""

    def __init__(self, plane: Plane, message: str, hint: str, kernel: list[KernelEntry]) -> None:
        written = f"; {len(kernel)} kernel lines were written before and stay" if kernel else ""
        super().__init__(f"plane {plane}: {message}{written}")
        self.plane = plane
        self.hint = hint
        self.kernel = kernel


@dataclass(frozen=True, slots=True)
class Applied:
    """What is in force, read back. `generation` is 0 without cuda and nvml."""

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
        self._check(made)
        lines = await asyncio.to_thread(self._write_lines, request, made)
        armed_ns = boottime_ns()
        ends_ns = expires_ns(armed_ns, ttl_s)
        generation = self._arm_page(request, made, armed_ns, ends_ns, lines)
        return Applied(armed_ns=armed_ns, expires_ns=ends_ns, generation=generation, kernel=lines)

    def disarm(self, fault: str) -> None:
        """Take the fault off the page, read back; kernel lines stay. Raises PlaneFailedError."""
        try:
            self._page.disarm(fault)
        except PageFailedError as err:
            raise PlaneFailedError(
                Plane.CUDA, str(err), "its lease or the heartbeat's end heals it", []
            ) from err

    def renew(self, fault: str, ends_ns: int) -> None:
        """Move the fault's end on the page, read back."""
        self._page.renew(fault, ends_ns)

    def keep_only(self, generations: Mapping[str, int]) -> set[str]:
        """Disarm what is not of these (fault id -> generation); the ids that the page does not hold."""
        return self._page.keep_only({fault: number for fault, number in generations.items() if number})

    def why_not(self, plane: Plane) -> str:
        """Why a plane cannot be used now; "" when it can."""
        if plane is not Plane.KERNEL:
            return self._page.why_not()
        try:
            self._kernel.check()
        except KernelLogError as err:
            return err.message
        return ""

    def path(self, plane: Plane) -> str:
        """What the plane writes to."""
        return str(self._kernel.path if plane is Plane.KERNEL else self._page.path)

    def _check(self, made: Plan) -> None:
        for plane in sorted(made.planes):
            why = self.why_not(plane)
            if why:
                raise PlaneFailedError(plane, why, "GET /health says which planes work", [])

    def _write_lines(self, request: FaultRequest, made: Plan) -> list[KernelEntry]:
        """In a thread: reading back may have to wait."""
        written: list[KernelEntry] = []
        for gpu in made.gpus if Plane.KERNEL in made.planes else ():
            text = line(made, gpu, request, at_s=boottime_ns() / 1e9)
            try:
                record = self._kernel.write(text)
            except KernelLogError as err:
                raise PlaneFailedError(Plane.KERNEL, err.message, err.hint, written) from err
            written.append(KernelEntry(seq=record.seq, at_ns=record.at_ns, line=record.text))
        return written

    def _arm_page(
        self, request: FaultRequest, made: Plan, armed_ns: int, ends_ns: int, lines: list[KernelEntry]
    ) -> int:
        wanted = [plane for plane in PAGE_PLANES if plane in made.planes]
        if not wanted:
            return 0
        try:
            return self._page.arm(request, made, armed_ns, ends_ns)
        except PageFailedError as err:
            raise PlaneFailedError(wanted[0], str(err), "see the agent's log", lines) from err
