"""What watching for a run uses of a cluster: for the declarations of those that have the observer watch."""

from offbus_steps.access import access
from offbus_steps.nvsentinel import names
from offbus_steps.workloads import WORKLOAD_KINDS

__all__ = ["RESPONSE_ACCESS", "TARGET_ACCESS"]

TARGET_ACCESS = access("list watch", "Pod", *WORKLOAD_KINDS)
"""What `Observer.watch_target` uses."""
RESPONSE_ACCESS = access("list watch", "Event", *names.COMPLETE_CONDITION, everywhere=True)
"""What `Observer.watch_responses` uses."""
