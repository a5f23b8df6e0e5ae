"""What our environments show of a cluster: the lanes of the observer and of the steps, as a live view has them.

Lanes without a section are `workload`, `responder`, `lease` and `watch`; their statements are in the plain view and
the report.
"""

from collections.abc import Sequence

from offbus.declared import Lane

__all__ = ["LANES"]

LANES: Sequence[Lane] = (
    Lane(name="node", title="nodes", seed="Node/", several=True),
    Lane(name="pod", title="pods", where="node", count="restarts", gone="deleted"),
    Lane(name="requests", title="traffic", feed=True, metrics="requests."),
)
