"""Prints roles: `python -m offbus_steps.kubernetes.rbac.roles runner`.

deploy/base has the roles for offbus's own types, by `make generate`; with `--installed` they are for the step types
and undo types of all installed packages.
"""

import sys

import yaml

from offbus.exits import Exit
from offbus_steps.kubernetes.port import AGENT_NAMESPACE
from offbus_steps.kubernetes.rbac.reaper import REAPER, reaper_rights
from offbus_steps.kubernetes.rbac.rights import roles
from offbus_steps.kubernetes.rbac.runner import OURS, RUNNER, runner_rights

__all__ = ["WHOSE", "main", "rendered"]

WHOSE = ("runner", "reaper")
HEADER = "# Generated from what step types and undo types declare to use (`make generate`).\n"


def rendered(whose: str, package: str = OURS) -> str:
    """The roles of the runner or of the reaper as YAML documents. `package` "": for all installed packages."""
    name, rights = (REAPER, reaper_rights) if whose == "reaper" else (RUNNER, runner_rights)
    return HEADER + yaml.safe_dump_all(roles(AGENT_NAMESPACE, name, rights(package)), sort_keys=False)


def main(argv: list[str] | None = None) -> int:
    """Print them. Returns 2 for wrong arguments."""
    asked = sys.argv[1:] if argv is None else argv
    everybodys = asked[1:] == ["--installed"]
    if not asked or asked[0] not in WHOSE or (asked[1:] and not everybodys):
        print(
            f"usage: python -m offbus_steps.kubernetes.rbac.roles {'|'.join(WHOSE)} [--installed]",
            file=sys.stderr,
        )
        return Exit.INVALID
    sys.stdout.write(rendered(asked[0], "" if everybodys else OURS))
    return Exit.PASSED


if __name__ == "__main__":
    sys.exit(main())
