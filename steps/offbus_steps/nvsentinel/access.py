"""The access that reading a deployed responder needs; for the declarations of step types that read it."""

from offbus_steps.access import access

__all__ = ["DEPLOYED_ACCESS"]

DEPLOYED_ACCESS = access("list", "Deployment", "ConfigMap", everywhere=True)
"""What `offbus_steps.nvsentinel.deployed.deployed` needs."""
