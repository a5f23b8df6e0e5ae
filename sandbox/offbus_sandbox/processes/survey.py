"""What runs in a sandbox: leftovers of a dead supervisor, and stray processes."""

from collections.abc import Collection

from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.child import recorded
from offbus_sandbox.processes.ending import belongs, end_all, marked
from offbus_sandbox.processes.table import Process, processes

__all__ = ["end_leftovers", "leftovers", "strays"]

GRACE_S = 2.0


def leftovers(layout: Layout, spare: Collection[int] = ()) -> list[Process]:
    """Every process of the sandbox, by its mark or by its record, except the caller and `spare` (pids)."""
    children = recorded(layout.processes) if layout.processes.is_dir() else []
    found = {p.id: p for p in marked(layout.id)}
    for process in processes():
        if any(belongs(process, leader, "") for leader, _ in children):
            found[process.id] = process
    return [p for p in found.values() if p.id.pid not in spare]


async def end_leftovers(layout: Layout, spare: Collection[int] = ()) -> int:
    """End all of them: SIGTERM, a short grace, SIGKILL. Returns how many there were."""
    count = len(leftovers(layout, spare))
    await end_all(lambda: leftovers(layout, spare), grace_s=GRACE_S)
    for record in layout.processes.iterdir() if layout.processes.is_dir() else ():
        record.unlink(missing_ok=True)
    return count


def strays(layout: Layout) -> list[str]:
    """Command lines of the sandbox's processes that belong to no pod and no service."""
    children = recorded(layout.processes)
    return sorted(
        process.command()
        for process in marked(layout.id)
        if not any(belongs(process, leader, mark) for leader, mark in children)
    )
