"""Ownership of a run in the cluster: its Lease, its records, and the reaper that finishes it."""
