"""`offbus schema NAME`: the JSON Schemas that are committed below schemas/, from the models that make them."""

from typing import Any

import click

__all__ = ["SCHEMAS", "schema", "schema_text"]

SCHEMAS = {
    "scenario": "offbus.language.jsonschema:scenario_schema",
    "report": "offbus.report.model:report_schema",
    "journal": "offbus.journal.json_schema:journal_schema",
    "matrix": "offbus.matrix.summary:matrix_schema",
}
"""Name -> "module:function" that returns the schema as a dict."""

PUBLISHED = {**SCHEMAS, "scenario": "offbus.language.jsonschema:published_schema"}
"""The same for those that are committed below schemas/."""

EPILOG = """\b
Examples:
  offbus schema scenario > scenario.schema.json
  offbus schema scenario --published
\b
In a scenario, for editors:
  # yaml-language-server: $schema=scenario.schema.json
"""


def schema_text(name: str, *, is_published: bool = False) -> str:
    """The schema as it is committed: sorted as the models are, two spaces, a line end."""
    import json
    from importlib import import_module

    module, _, function = (PUBLISHED if is_published else SCHEMAS)[name].partition(":")
    made: dict[str, Any] = getattr(import_module(module), function)()
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


@click.command(epilog=EPILOG)
@click.argument("name", type=click.Choice(list(SCHEMAS)))
@click.option(
    "--published",
    "is_published",
    is_flag=True,
    help="Of a scenario: with the step types of offbus, and any whose name has a dot or a slash.",
)
def schema(name: str, is_published: bool) -> None:
    """Print the JSON Schema of NAME: of a scenario with the step types and environments that are installed, and no
    others.

    report is that of report.json, journal that of a line of journal.jsonl, matrix that of matrix.json, the report of
    all cells.
    """
    click.echo(schema_text(name, is_published=is_published), nl=False)
