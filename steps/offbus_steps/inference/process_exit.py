"""The proof that processes without HTTP failed: their first faulted call, and their end."""

from functools import partial

from offbus.errors import StepError
from offbus.step import Context
from offbus_steps.agents.fault_model import NodeFault
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Transition
from offbus_steps.watch.transitions import What
from offbus_steps.workloads.target import Target

__all__ = ["await_deaths", "deaths"]

ENDS = frozenset({What.POD_ENDED, What.POD_RESTARTED, What.POD_EVICTED, What.POD_DELETED})


async def await_deaths(ctx: Context, cluster: Cluster, target: Target, fault: NodeFault) -> list[str]:
    """The pods that held faulted GPUs, once their processes made a faulted call and ended after the injection.

    Waits, bounded by the step's timeout. Raises StepError when no pod held the faulted GPUs.
    """
    holders = sorted(set(fault.holders.values()))
    live = cluster.faults.live.get(fault.id)
    if not holders or live is None:
        raise StepError(f"no pod of {target} held the GPUs of fault {fault.id}")
    ctx.progress(f"waiting for a faulted call by {', '.join(holders)}")
    await live.seen.wait()
    for name in holders:
        ctx.progress(f"waiting for {name} to end")
        await cluster.log.first(partial(_ends, Ref("Pod", name, target.namespace)), after=fault.mark)
    return holders


def deaths(cluster: Cluster, target: Target, fault: NodeFault) -> list[str]:
    """The pods that held faulted GPUs, when a faulted call was seen and every one has ended since; else none."""
    live = cluster.faults.live.get(fault.id)
    if live is None or not live.seen.is_set():
        return []
    past = list(cluster.log.since(fault.mark))
    holders = sorted(set(fault.holders.values()))
    ended = [name for name in holders if any(_ends(Ref("Pod", name, target.namespace), one) for one in past)]
    return ended if ended == holders else []


def _ends(pod: Ref, one: Transition) -> bool:
    """Of a container only the end of one with GPUs counts: a proxy beside it made no faulted call."""
    return one.what in ENDS and one.ref == pod and bool(one.change.evidence.get("holds_gpus", True))
