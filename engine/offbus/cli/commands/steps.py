"""`offbus steps [NAME]`."""

import click

from offbus.cli.commands.options import format_option

__all__ = ["steps"]

EPILOG = """\b
Examples:
  offbus steps
  offbus steps inject_fault
  offbus steps inject_fault --format json
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@format_option("How to print.")
def steps(name: str | None, form: str) -> None:
    """List the installed step types, and functions of expressions, with their packages; with NAME, explain that one."""
    from offbus.cli.handlers.steps import explain_one, list_all

    click.echo(list_all(form) if name is None else explain_one(name, form))
