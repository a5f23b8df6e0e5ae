"""The node agent: it owns a node's faults: catalogue, kernel log, control page, leases."""
