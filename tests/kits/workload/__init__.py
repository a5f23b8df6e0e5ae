"""The stand-in workload's programs on a node."""
