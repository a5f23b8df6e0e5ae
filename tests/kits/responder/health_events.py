"""Health events, as the detector sends them, and a node that they can be about."""

from offbus_sandbox.responder.health_event import Entity, HealthEvent
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import RecommendedAction
from offbus_steps.port import Object

__all__ = ["UUID", "fault", "gpu_node"]

UUID = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"


def fault(code: str, action: str = "RESTART_BM", uuid: str = UUID) -> HealthEvent:
    entities = (
        Entity(entityType="PCI", entityValue="0000:3b:00"),
        Entity(entityType="GPU_UUID", entityValue=uuid),
    )
    return HealthEvent(
        isFatal=True,
        errorCode=(code,),
        entitiesImpacted=entities,
        recommendedAction=RecommendedAction[action],
        nodeName="node-1",
        message=f"MESSAGE=Xid {code}",
    )


def gpu_node(name: str) -> Object:
    metadata = {"name": name, "labels": {names.GPU_PRESENT: "true"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
