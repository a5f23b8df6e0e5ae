"""The faults of this node: requests, what exists, who owns it, its evidence, how it is cleared."""
