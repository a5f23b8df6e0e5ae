"""Permissions in the cluster: what runner and reaper need, the roles, and what the API server grants."""
