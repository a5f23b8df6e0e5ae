"""How large a sandbox is by default, and may be, for a run's own and for `offbus local up`. Cheap to import."""

__all__ = ["GPUS_PER_NODE", "MOST_GPUS_PER_NODE", "MOST_NODES", "NODES"]

NODES, MOST_NODES = 3, 64
GPUS_PER_NODE, MOST_GPUS_PER_NODE = 2, 8
