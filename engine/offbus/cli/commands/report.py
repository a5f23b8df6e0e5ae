"""`offbus report [RUN]`."""

from pathlib import Path

import click

from offbus.cli.commands.options import format_option, runs_option

__all__ = ["report"]

EPILOG = """\b
Examples:
  offbus report                          the newest run
  offbus report 3f9a2c41                 a run by its id
  offbus report ./runs/2026…             a run by its folder, also a copy from elsewhere
  offbus report --format json | jq .metrics
  offbus report --format markdown --output "$GITHUB_STEP_SUMMARY"
"""


@click.command(epilog=EPILOG)
@click.argument("run", default="latest")
@runs_option
@format_option("How the report is written; json is the published schema.", "markdown")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to FILE.", metavar="FILE"
)
def report(run: str, runs: Path | None, form: str, output: Path | None) -> None:
    """Show the report of RUN: what was done, proven and undone, and when.

    It is made from the journal each time, so it also works for a run that did not finish or is still running.
    Exit code 0 when there is a report, whatever it says.
    """
    from offbus.cli.handlers.report import show_report

    show_report(run, runs=runs, form=form, output=output)
