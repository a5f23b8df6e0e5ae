"""`offbus explain [CODE]`."""

import click

from offbus.cli.commands.options import format_option

__all__ = ["explain"]

EPILOG = """\b
Examples:
  offbus explain
  offbus explain OB302
  offbus explain OB302 --format json
"""


@click.command(epilog=EPILOG)
@click.argument("code", required=False)
@format_option("How to print.")
def explain(code: str | None, form: str) -> None:
    """Explain the CODE of a finding: what it means, a wrong and a right scenario, how to fix it. Without CODE, list
    all codes."""
    from offbus.cli.handlers.explain import explain_code, list_codes

    click.echo(list_codes(form) if code is None else explain_code(code, form))
