"""`offbus validate FILE…`."""

from pathlib import Path

import click

from offbus.cli.commands.options import format_option, scenario_options

__all__ = ["validate"]

EPILOG = """\b
Examples:
  offbus validate scenarios/*.yaml
  offbus validate drill.yaml --set backend=sglang --env kubernetes
  offbus validate drill.yaml --format json | jq '.[].findings[].code'
  offbus validate drills/*.yaml --format github           annotations in GitHub Actions
  offbus validate drills/*.yaml --format sarif > offbus.sarif
  offbus validate drills/*.yaml --fix                     make the certain fixes
  offbus validate drills/*.yaml --fix --diff              show them, and change nothing

\b
Exit codes: 0 all are valid, 2 at least one is not.
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@scenario_options
@format_option(
    "How to print findings: sarif for code scanning, github as annotations of a workflow.", "sarif", "github"
)
@click.option("--fix", is_flag=True, help="Make the fixes that are certain; everything else in a file stays.")
@click.option("--diff", is_flag=True, help="With --fix: show what it would change, and change nothing.")
def validate(
    files: tuple[Path, ...],
    sets: dict[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: dict[str, str],
    form: str,
    fix: bool,
    diff: bool,
) -> None:
    """Check the scenarios in FILE... and show every finding at once, with its position and what to do.

    Nothing is run, and nothing is changed but, with --fix, the files themselves.
    """
    from offbus.exits import Exit
    from offbus.language.gc_pause import collecting_less

    if diff and (not fix or form != "text"):
        raise click.UsageError("--diff goes with --fix, and with no --format but text")
    with collecting_less():
        from offbus.cli.handlers.overrides import Overrides
        from offbus.cli.handlers.validate import check_all, show_fixes

        overrides = Overrides(sets, inputs, env, env_sets)
        valid = show_fixes(files, overrides) if diff else check_all(files, overrides, form=form, fix=fix)
    raise click.exceptions.Exit(Exit.PASSED if valid else Exit.INVALID)
