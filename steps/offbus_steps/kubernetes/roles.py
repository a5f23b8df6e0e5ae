"""Prints generated roles: `python -m offbus_steps.kubernetes.roles runner > deploy/base/runner-roles.yaml`."""

import sys

import yaml

from offbus_steps.kubernetes.permissions import RUNNER, roles
from offbus_steps.kubernetes.port import AGENT_NAMESPACE
from offbus_steps.kubernetes.reaper_rights import REAPER, reaper_rights

__all__ = ["WHOSE", "main", "rendered"]

WHOSE = ("runner", "reaper")
HEADER = "# Generated from offbus_steps.kubernetes.permissions: python -m offbus_steps.kubernetes.roles {}\n"


def rendered(whose: str) -> str:
    """The roles of the runner or of the reaper as YAML documents."""
    made = (
        roles(AGENT_NAMESPACE, REAPER, reaper_rights())
        if whose == "reaper"
        else roles(AGENT_NAMESPACE, RUNNER)
    )
    return HEADER.format(whose) + yaml.safe_dump_all(made, sort_keys=False)


def main(argv: list[str] | None = None) -> int:
    """Print them; 2 when it is not said whose."""
    asked = sys.argv[1:] if argv is None else argv
    if len(asked) != 1 or asked[0] not in WHOSE:
        print(f"usage: python -m offbus_steps.kubernetes.roles {'|'.join(WHOSE)}", file=sys.stderr)
        return 2
    sys.stdout.write(rendered(asked[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
