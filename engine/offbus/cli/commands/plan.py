"""`offbus plan FILE`."""

from pathlib import Path

import click

from offbus.cli.commands.options import format_option, scenario_options

__all__ = ["plan"]

EPILOG = """\b
Examples:
  offbus plan scenarios/xid79.yaml
  offbus plan scenarios/xid79.yaml --set xid=48 --format json
  offbus plan scenarios/xid79.yaml --env kubernetes   with preflight checks of the cluster
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@scenario_options
@format_option("How to print the plan.")
@click.option("--offline", is_flag=True, help="Skip the preflight checks.")
def plan(
    file: Path, sets: dict[str, str], env: str | None, env_sets: dict[str, str], form: str, offline: bool
) -> None:
    """Show what a run of the scenario in FILE would do, without doing it.

    Order, needs, timeouts, which ancestor each default is taken from, what undoes each step, and how long it
    takes at most. In a cluster also preflight checks: missing permissions and agents, what a namespace would refuse,
    everything that would be evicted, insufficient capacity, and what a responder would really do. Changes nothing.

    Exit code 0 when a run may start, 3 when it would be refused.
    """
    import json

    from offbus.cli.handlers.plan import plan_text
    from offbus.cli.handlers.preflight import checks_json, checks_text, exit_of, preflight
    from offbus.language.load import load_scenario
    from offbus.language.plan import make_plan
    from offbus.printable import printable_json

    made = make_plan(load_scenario(file, sets=sets, env=env, env_sets=env_sets))
    if form == "text":
        click.echo(plan_text(made))
    checks = None if offline else preflight(made)
    if form == "json":
        found = {} if checks is None else {"preflight": checks_json(checks)}
        click.echo(printable_json(json.dumps({**made.to_json(), **found}, indent=2)))
    elif checks is not None:
        click.echo(f"\non {made.scenario.env_name} now:\n{checks_text(checks)}")
    raise click.exceptions.Exit(exit_of(checks or ()))
