"""The responder's documented clear: the log line that tells NVSentinel that a GPU was reset.

Job: write `GPU reset executed: UUID, success: true` once for each GPU of one fault, read it back, and store it. Only
for GPUs that NVSentinel's monitor on this node is known to know (`monitors`): a line for another one blinds it for
ever, and never for a GPU that the fault did not affect. While the fault is armed nothing may be cleared: the GPU is
still broken for its users. It must not touch pages.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from offbus_agent.faults.hidden import Looks
from offbus_agent.faults.monitors import Knowledge, knowledge_of
from offbus_agent.faults.registry import FaultBook
from offbus_agent.faults.store import StoredFault
from offbus_agent.kernel_log.line import UnsafeLine
from offbus_agent.kmsg_helper import HelperUnreachable
from offbus_agent.models import KernelEntry, State
from offbus_agent.node_files import GpuDiscoveryError
from offbus_agent.planes.planes import Planes
from offbus_agent.refusals import Refusal, helper_away
from offbus_agent.shared_look import Shared

__all__ = ["ClearAnswer", "Clearing", "LeftOut", "ResetLine", "monitor_of"]


class ResetLine(KernelEntry):
    """A reset line that was read back, and its GPU."""

    gpu: str


class LeftOut(BaseModel):
    """A GPU of the fault for which no line was written."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    gpu: str
    why: str


class ClearAnswer(BaseModel):
    """The lines written for a fault, now or by an earlier request."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    fault: str
    lines: Annotated[list[ResetLine], Field(description="One for each GPU that was cleared.")]
    left_out: list[LeftOut]


class Clearing:
    """Writes reset lines. `known` looks at what the responder's monitor knows now; it blocks, and runs in a thread.

    In one thread, however many ask: what it looks at may take as long as it takes (`seen_files`).
    """

    def __init__(self, planes: Planes, book: FaultBook, known: Callable[[], Knowledge]) -> None:
        self._planes = planes
        self._book = book
        self._known = Shared(partial(asyncio.to_thread, known))

    async def clear(self, stored: StoredFault) -> ClearAnswer:
        """Clear the GPUs that were not cleared yet. Raises Refusal, PlaneFailedError."""
        if stored.fault.state is State.ARMED:
            raise Refusal(
                409,
                "still_armed",
                f"fault {stored.fault.id} is armed: its GPUs are still broken",
                "disarm it first",
            )
        known, left_out = await self._known(), []
        for gpu in stored.fault.gpus:
            why = "" if gpu in stored.cleared else await self._clear(stored, gpu, known)
            if why:
                left_out.append(LeftOut(gpu=gpu, why=why))
        lines = [ResetLine(gpu=gpu, **entry.model_dump()) for gpu, entry in stored.cleared.items()]
        return ClearAnswer(fault=stored.fault.id, lines=lines, left_out=left_out)

    async def _clear(self, stored: StoredFault, gpu: str, known: Knowledge) -> str:
        """Why a GPU was left out; "" when its line is in the log. After a crash, a repeat writes it again."""
        if why := known.why_not(gpu):
            return why
        try:
            stored.cleared[gpu] = await self._planes.clear(gpu)
        except UnsafeLine as err:
            return str(err)
        self._book.save_or_log()
        return ""


def monitor_of(root: Path, looks: Looks, *, of_machine: bool) -> Knowledge:
    """What the responder's monitor on the node knows.

    Raises Refusal when the metadata file is not valid, or the kernel-log helper cannot be asked.
    """
    try:
        return knowledge_of(root, looks, of_machine=of_machine)
    except GpuDiscoveryError as err:
        raise Refusal(500, "gpus_unknown", str(err), "fix the responder's metadata file") from err
    except HelperUnreachable as err:
        raise helper_away(err) from err
