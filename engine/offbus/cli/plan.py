"""`offbus plan FILE`."""

from pathlib import Path

import click

from offbus.cli.options import env_option, env_set_option, set_option

__all__ = ["plan"]

EPILOG = """\b
Examples:
  offbus plan scenarios/xid79.yaml
  offbus plan scenarios/xid79.yaml --set xid=48 --format json
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@set_option
@env_option
@env_set_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the plan.",
)
def plan(file: Path, sets: dict[str, str], env: str | None, env_sets: dict[str, str], form: str) -> None:
    """Show what a run of the scenario in FILE would do, without doing it.

    Order, needs, timeouts, which ancestor each default is taken from, what undoes each step, and how long it
    takes at most.
    """
    import json

    from offbus.cli.planning import plan_text
    from offbus.language.load import load_scenario
    from offbus.language.plan import make_plan

    made = make_plan(load_scenario(file, sets=sets, env=env, env_sets=env_sets))
    click.echo(json.dumps(made.to_json(), indent=2) if form == "json" else plan_text(made))
