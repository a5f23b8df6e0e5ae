"""`offbus stop [RUN]`."""

from pathlib import Path

import click

from offbus.cli.commands.options import runs_option

__all__ = ["stop"]

EPILOG = """\b
Examples:
  offbus stop                    the newest run
  offbus stop 3f9a2c41           a run by its id
  offbus stop --no-wait          ask, and return at once
"""


@click.command(epilog=EPILOG)
@click.argument("run", default="latest")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Wait until it has undone everything."
)
@runs_option
def stop(run: str, wait: bool, runs: Path | None) -> None:
    """Ask a RUN in another terminal to stop: it disarms, undoes everything, and reports, as after Ctrl-C.

    Exit code 0 when it has ended and nothing is left, 4 when something is, 3 when it could not be asked.
    """
    from offbus.cli.handlers.stop import stop_run

    raise click.exceptions.Exit(stop_run(run, wait=wait, runs=runs))
