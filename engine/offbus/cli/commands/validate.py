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

\b
Exit codes: 0 all are valid, 2 at least one is not.
"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@scenario_options
@format_option(
    "How to print findings: sarif for code scanning, github as annotations of a workflow.", "sarif", "github"
)
def validate(
    files: tuple[Path, ...],
    sets: dict[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: dict[str, str],
    form: str,
) -> None:
    """Check the scenarios in FILE... and show every finding at once, with its position and what to do.

    Nothing is run, and nothing outside the files is touched.
    """
    from offbus.exits import Exit
    from offbus.language.gc_pause import collecting_less

    with collecting_less():
        from offbus.cli.handlers.validate import check_all

        valid = check_all(files, sets=sets, inputs=inputs, env=env, env_sets=env_sets, form=form)
    raise click.exceptions.Exit(Exit.PASSED if valid else Exit.INVALID)
