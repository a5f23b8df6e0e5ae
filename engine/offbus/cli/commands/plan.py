"""`offbus plan FILE`."""

from pathlib import Path

import click

from offbus.cli.commands.options import cell_option, format_option, scenario_options

__all__ = ["plan"]

EPILOG = """\b
Examples:
  offbus plan scenarios/xid79.yaml
  offbus plan scenarios/xid79.yaml --set xid=48 --format json
  offbus plan scenarios/xid79.yaml --env kubernetes   with preflight checks of the cluster
  offbus plan scenarios/xid.yaml --cell xid-48        one cell of a matrix
  offbus plan scenarios/xid79.yaml --format mermaid   its graph, for a pull request
  offbus plan scenarios/xid79.yaml --format dot | dot -Tsvg > plan.svg
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@scenario_options
@format_option(
    "How to print the plan; mermaid and dot are its graph, without preflight checks.", "mermaid", "dot"
)
@click.option("--offline", is_flag=True, help="Skip the preflight checks.")
@cell_option
def plan(
    file: Path,
    sets: dict[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: dict[str, str],
    form: str,
    offline: bool,
    cell: str | None,
) -> None:
    """Show what a run of the scenario in FILE would do, without doing it: of a matrix, each cell.

    Order, needs, timeouts, which ancestor each default is taken from, what undoes each step, and how long it
    takes at most. In a cluster also preflight checks: missing permissions and agents, what a namespace would refuse,
    everything that would be evicted, insufficient capacity, and what a responder would really do. Changes nothing.

    Exit code 0 when a run may start, 3 when it would be refused.
    """
    from offbus.cli.handlers.plan import plan_cells

    code = plan_cells(
        file, sets=sets, inputs=inputs, env=env, env_sets=env_sets, cell=cell, form=form, offline=offline
    )
    raise click.exceptions.Exit(code)
