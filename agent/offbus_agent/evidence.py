"""What processes report of a fault: taken from the events file, and believed only as far as it can be checked.

Job: bring a fault's `processes`, `counts` and `first_faulted` up to date with the rows of its arming. A row is
written by a process that nobody vouches for: a record counts only with the code that was armed, on a GPU of the
fault, at a time between arming and now, and the pid is looked up in /proc (`processes`). What does not fit is left
out and logged once. Counts are those of the latest arming. It changes nothing but the fault it is given.
"""

import logging
from collections.abc import Callable, Iterable

from offbus_agent.codes import CUDA_CODES, NVML_CODES
from offbus_agent.effects import Plane
from offbus_agent.leases import boottime_ns
from offbus_agent.models import Counts, FirstFaulted, ProcessSeen
from offbus_agent.node_page import NodePage
from offbus_agent.page import FaultedCall, ProcessRow
from offbus_agent.processes import host_pid
from offbus_agent.store import StoredFault

__all__ = ["Evidence"]

_NAMES = {Plane.CUDA: CUDA_CODES, Plane.NVML: NVML_CODES}
_log = logging.getLogger(__name__)
