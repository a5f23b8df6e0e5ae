"""The undo types: how everything that a drill does to a cluster is taken back, from any process.

Each is registered under `offbus.undos`. They decide by reading the world, are idempotent, and read back.
"""

from offbus_steps.undos.admission import RemoveAdmission
from offbus_steps.undos.collect import CollectEvidence
from offbus_steps.undos.consequences import ClearConsequences
from offbus_steps.undos.delete import DeleteObject
from offbus_steps.undos.disarm import DisarmFault
from offbus_steps.undos.restart import RestartFaulted
from offbus_steps.undos.restore import RestoreFields

__all__ = [
    "ClearConsequences",
    "CollectEvidence",
    "DeleteObject",
    "DisarmFault",
    "RemoveAdmission",
    "RestartFaulted",
    "RestoreFields",
]
