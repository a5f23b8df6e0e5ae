"""What runs in a sandbox: what is left of a dead supervisor, and what nobody answers for."""

from collections.abc import Collection

from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.child import recorded
from offbus_sandbox.processes.ending import belongs, end_all, marked
from offbus_sandbox.processes.table import Process, processes

__all__ = ["end_leftovers", "leftovers", "strays"]

GRACE_S = 2.0


def leftovers(layout: Layout, spare: Collection[int] = ()) -> list[Process]:
    """Every process of the sandbox, by its mark or by its record, but the caller and `spare` (pids)."""
    children = recorded(layout.processes) if layout.processes.is_dir() else []
    found = {p.id: p for p in marked(layout.id)}
    for process in processes():
        if any(belongs(process, leader, "") for leader, _ in children):
            found[process.id] = process
    return [p for p in found.values() if p.id.pid not in spare]


async def end_leftovers(layout: Layout, spare: Collection[int] = ()) -> int:
    """End all of them: SIGTERM, a moment, SIGKILL. How many there were."""
    count = len(leftovers(layout, spare))
    await end_all(lambda: leftovers(layout, spare), grace_s=GRACE_S)
    for record in layout.processes.iterdir() if layout.processes.is_dir() else ():
        record.unlink(missing_ok=True)
    return count


def strays(layout: Layout) -> list[str]:
    """Command lines of processes of the sandbox that are neither a pod's nor a service's."""
    children = recorded(layout.processes)
    return sorted(
        process.command()
        for process in marked(layout.id)
        if not any(belongs(process, leader, mark) for leader, mark in children)
    )
