"""Builds of the shim, and nodes for programs under it."""
