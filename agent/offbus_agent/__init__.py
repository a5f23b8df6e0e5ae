"""The node agent, which owns a node's faults: catalogue, kernel log, control page, leases."""
