"""`offbus run FILE`."""

from pathlib import Path

import click

from offbus.cli.commands.options import cell_option, runs_option, scenario_options, settle_option

__all__ = ["run"]

EPILOG = """\b
Examples:
  offbus run scenarios/xid79.yaml
  offbus run scenarios/xid79.yaml --set backend=sglang --set xid=48
  offbus run scenarios/xid79.yaml --env local --view lines
  offbus run scenarios/xid79.yaml --runs ./drill-runs
  offbus run scenarios/xid.yaml                       all cells of its matrix
  offbus run scenarios/xid.yaml --set xid=48          those with this value
  offbus run scenarios/xid.yaml --cell xid-48         one; `offbus matrix` lists them

\b
The first Ctrl-C stops the drill and undoes everything; a second one exits at once
and prints the `offbus recover` line that finishes the undo. While the end is watched,
a Ctrl-C only ends the watch.
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@scenario_options
@runs_option
@click.option(
    "--view",
    type=click.Choice(["auto", "live", "lines", "quiet"]),
    default="auto",
    show_default=True,
    help="How progress is shown; auto is live on a terminal and lines elsewhere.",
)
@settle_option
@cell_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Play the cells that did not pass in an earlier play, whose folder this is.",
)
def run(
    file: Path,
    sets: dict[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: dict[str, str],
    runs: Path | None,
    view: str,
    settle: bool,
    cell: str | None,
    resume: Path | None,
) -> None:
    """Run the scenario in FILE: of a matrix all cells, one after the other, each a run of its own.

    Everything that the run changes is undone in the end, whatever happens, and report.json proves what happened.
    """
    from offbus.cli.handlers.run import run_file

    code = run_file(
        file,
        sets=sets,
        inputs=inputs,
        env=env,
        env_sets=env_sets,
        runs=runs,
        view=view,
        settle=settle,
        cell=cell,
        resume=resume,
    )
    raise click.exceptions.Exit(code)
