"""Prints the runner's roles: `python -m offbus_steps.kubernetes.roles > deploy/base/runner-roles.yaml`."""

import sys

import yaml

from offbus_steps.kubernetes.permissions import roles
from offbus_steps.kubernetes.port import AGENT_NAMESPACE

__all__ = ["main", "rendered"]

HEADER = "# Generated from offbus_steps.kubernetes.permissions: python -m offbus_steps.kubernetes.roles\n"


def rendered() -> str:
    """The roles as YAML documents."""
    return HEADER + yaml.safe_dump_all(roles(AGENT_NAMESPACE), sort_keys=False)


def main() -> int:
    """Print them."""
    sys.stdout.write(rendered())
    return 0


if __name__ == "__main__":
    sys.exit(main())
