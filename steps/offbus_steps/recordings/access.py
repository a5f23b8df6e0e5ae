"""What is watched for a recording, and the access that it needs: nothing that changes anything."""

from offbus_steps.access import access
from offbus_steps.nvsentinel import names

__all__ = ["RECORDED_KINDS", "RECORDER_ACCESS", "RESOURCES"]

RESOURCES = (*names.COMPLETE_CONDITION, names.TERMINATE, names.VALIDATION_KIND)
"""A responder's own, each where it is served."""
RECORDED_KINDS = ("Node", "Pod", *RESOURCES, "Event")
"""In the order in which they are listed: an Event is about a pod that is known by then."""
RECORDER_ACCESS = access("list watch", *RECORDED_KINDS, everywhere=True) | access(
    "list", "Deployment", everywhere=True
)
"""The Deployments name the responder and its version; without this, and without all but the nodes, less is recorded."""
