"""What reading a deployed responder uses of a cluster: for the declarations of those that have it read."""

from offbus_steps.access import access

__all__ = ["DEPLOYED_ACCESS"]

DEPLOYED_ACCESS = access("list", "Deployment", "ConfigMap", everywhere=True)
"""What `offbus_steps.nvsentinel.deployed.deployed` uses."""
