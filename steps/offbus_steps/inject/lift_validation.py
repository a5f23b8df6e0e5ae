"""Ends a responder's validation of a node, so that nothing of the fault waits there for a test.

A responder that validates asks for it before it ends its quarantine, and leaves the cordon to the validation
(docs/designs/049-node-validation.md of NVIDIA/NVSentinel). While it runs it is given `patience` to succeed: then the
responder uncordons the node by itself. What has not succeeded by then, or has failed, is withdrawn: its controller ends
the tests and releases the node before the request is gone. A request that nobody has taken yet is gone at once, and the
cordon that was left to it is removed here. One that stays is residue: its controller does not run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from anyio import move_on_after

from offbus.recorder import Recorder
from offbus_steps.inject.maintenance import withdraw
from offbus_steps.inject.quarantined_node import QuarantinedNode
from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref
from offbus_steps.residue.patching import change
from offbus_steps.watch.projections import MaintenanceProjection

__all__ = ["ValidationEnd", "end_validations"]


@dataclass(frozen=True, slots=True)
class ValidationEnd:
    """What became of the requests."""

    withdrawn: tuple[str, ...] = ()
    """Those that had not succeeded."""
    alive: str = ""
    """What the responder may still do, as it did not let go."""


async def end_validations(
    node: QuarantinedNode,
    recorder: Recorder,
    own_work: timedelta,
    patience: timedelta,
    requests: Sequence[tuple[MaintenanceProjection, str]],
) -> ValidationEnd:
    """Wait for these requests as long as `own_work`, then remove them, and the cordon that was left to them.

    Raises PortError.
    """
    cluster = node.cluster
    await cluster.observer.watch(names.VALIDATION_KIND)
    projections = cluster.log.world.projections
    refs = [one.ref for one, _ in requests]

    def ended() -> bool:
        found = map(projections.get, refs)
        return all(not isinstance(one, MaintenanceProjection) or bool(one.done) for one in found)

    with move_on_after(own_work.total_seconds()):
        await cluster.log.until(lambda _world: ended() or None)
    waiting = tuple(str(ref) for ref in refs if getattr(projections.get(ref), "done", "") != "True")
    await withdraw(cluster, requests)
    gone = False
    with move_on_after(patience.total_seconds()):
        gone = bool(await cluster.log.until(lambda _world: not any(map(projections.get, refs)) or None))
    if not gone:
        held = [ref for ref in refs if projections.get(ref)]
        free = "; ".join(
            f'kubectl patch {ref.kind.lower()} {ref.name} --type=merge -p \'{{"metadata":{{"finalizers":null}}}}\''
            for ref in held
        )
        return ValidationEnd(
            waiting,
            f"{', '.join(map(str, held))} is still there within {patience.total_seconds():g} s after it was withdrawn, "
            f"and {node.name} stays cordoned until the responder's lifecycle-manager runs again. If it is gone for "
            f"good: {free}; kubectl uncordon {node.name}",
        )
    if waiting:
        recorder.observed(
            lane="responder", subject=f"Node/{node.name}", to=f"validation withdrawn: {', '.join(waiting)}"
        )
        if not node.before.cordoned and not node.is_held:
            await change(cluster.port.objects, Ref("Node", node.name), _uncordoned)
    return ValidationEnd(waiting)


def _uncordoned(now: Object) -> Object:
    """A node that waits for no validation any more, without its cordon."""
    spec = now.get("spec") or {}
    if names.VALIDATION_SESSION in (now["metadata"].get("annotations") or {}):
        return now  # for another request: its cordon is that one's
    return {**now, "spec": {key: value for key, value in spec.items() if key != "unschedulable"}}
