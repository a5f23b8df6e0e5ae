"""`offbus recover [RUN]`."""

from pathlib import Path

import click

from offbus.cli.options import runs_option

__all__ = ["recover"]

EPILOG = """\b
Examples:
  offbus recover                 the newest run
  offbus recover 3f9a2c41        a run by its id
  offbus recover ./runs/2026…    a run by its folder, also a copy from elsewhere
  offbus recover --all           every unfinished run
  offbus recover --plan          show what would be undone, and do nothing
"""


@click.command(epilog=EPILOG)
@click.argument("run", default="latest")
@click.option("--all", "every", is_flag=True, help="Recover every unfinished run.")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be undone; change nothing.")
@runs_option
def recover(run: str, every: bool, plan_only: bool, runs: Path | None) -> None:
    """Undo what an unfinished RUN left behind, from its journal.

    Safe to repeat: what is undone already stays as it is. Exit code 0 when nothing is left, 4 when something is.
    """
    from offbus.cli.recovering import recover_runs

    raise click.exceptions.Exit(recover_runs(run, every=every, plan_only=plan_only, runs=runs))
