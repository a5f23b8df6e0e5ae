"""`offbus matrix FILE`."""

from pathlib import Path

import click

from offbus.cli.commands.options import scenario_options

__all__ = ["matrix"]

EPILOG = """\b
Examples:
  offbus matrix scenarios/xid.yaml
  offbus matrix scenarios/xid.yaml --set xid=48
  offbus matrix scenarios/xid.yaml --format json | jq -r '.cells[].cell'

\b
In GitHub Actions, a job for each cell:
  offbus matrix scenarios/xid.yaml --format github >> "$GITHUB_OUTPUT"
  strategy: {fail-fast: false, matrix: "${{ fromJSON(needs.plan.outputs.matrix) }}"}
  exec offbus run scenarios/xid.yaml --cell "$CELL"      with CELL: ${{ matrix.cell }}
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@scenario_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "github"]),
    default="table",
    show_default=True,
    help="How to print the cells; github is the line `matrix=…` for $GITHUB_OUTPUT.",
)
def matrix(
    file: Path,
    sets: dict[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: dict[str, str],
    form: str,
) -> None:
    """List the cells of the matrix of the scenario in FILE, each with its id and its inputs.

    All of them are checked, as `offbus validate` does. Nothing is run.
    """
    from offbus.cli.handlers.matrix import cells_as
    from offbus.language.load import load_cells

    loaded = load_cells(file, sets=sets, inputs=inputs, env=env, env_sets=env_sets)
    click.echo(cells_as(loaded, form))
