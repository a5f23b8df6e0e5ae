"""Checks: from a file's tree to a scenario, or to all of its findings."""
