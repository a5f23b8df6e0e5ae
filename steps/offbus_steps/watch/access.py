"""The access that the observer's watches need; for the declarations of step types that start them."""

from offbus_steps.access import access
from offbus_steps.nvsentinel import names
from offbus_steps.workloads.controllers import OWNER_KINDS
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["OWNER_ACCESS", "RESPONSE_ACCESS", "TARGET_ACCESS"]

OWNER_ACCESS = access("list", *OWNER_KINDS)
"""What it needs to tell whose pods are a target's."""
TARGET_ACCESS = OWNER_ACCESS | access("list watch", "Pod", *WORKLOAD_KINDS)
"""What `Observer.watch_target` needs."""
RESPONSE_ACCESS = access("list watch", "Event", *names.MAINTENANCE_KINDS, everywhere=True)
"""What `Observer.watch_responses` needs."""
