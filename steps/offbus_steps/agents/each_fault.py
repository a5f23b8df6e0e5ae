"""Observes each node that a step faulted, all at once, and measures the slowest."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import anyio

from offbus.errors import StepError
from offbus.step import Context
from offbus_steps.agents.fault_model import Fault, NodeFault
from offbus_steps.watch.event_log import Transition

__all__ = ["measure", "nodes_of", "on_each", "required_fault"]

T = TypeVar("T")


def required_fault(fault: Fault | None) -> Fault:
    """The fault. Scenario validation requires one; raises StepError if it is missing all the same."""
    if fault is None:
        raise StepError("no fault", hint="add an injecting step before this one, or set `fault`")
    return fault


async def on_each(fault: Fault, look: Callable[[NodeFault], Awaitable[T]]) -> list[T]:
    """What `look` finds on each node that the fault's step faulted, all at once; all are cancelled when one raises."""
    found: dict[str, T] = {}

    async def keep(one: NodeFault) -> None:
        found[one.id] = await look(one)

    async with anyio.create_task_group() as tasks:
        for one in fault.every:
            tasks.start_soon(keep, one)
    return [found[one.id] for one in fault.every]


def nodes_of(fault: Fault) -> str:
    """The faulted nodes, for messages."""
    return ", ".join(one.node for one in fault.every)


def measure(ctx: Context, name: str, seen: Sequence[tuple[NodeFault, Transition]]) -> timedelta:
    """Journal the longest of the times from a node's injection to its transition."""
    fault, slowest = max(seen, key=lambda pair: pair[1].mono_ns - pair[0].injected_ns)
    took = timedelta(microseconds=(slowest.mono_ns - fault.injected_ns) / 1000)
    ctx.metric(name, took, derived_from=(fault.injected_seq, slowest.seq))
    return took
