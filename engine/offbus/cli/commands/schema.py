"""`offbus schema NAME`: the JSON Schemas that are committed below schemas/, from the models that make them."""

from typing import Any

import click

__all__ = ["SCHEMAS", "schema", "schema_text"]

SCHEMAS = {
    "scenario": "offbus.language.jsonschema:scenario_schema",
    "report": "offbus.report.model:Report.model_json_schema",
    "matrix": "offbus.matrix.summary:MatrixReport.model_json_schema",
}
"""Name -> "module:function" that returns the schema as a dict."""

EPILOG = """\b
Examples:
  offbus schema scenario > schemas/scenario.json
\b
In a scenario, for editors:
  # yaml-language-server: $schema=../schemas/scenario.json
"""


def schema_text(name: str) -> str:
    """The schema as it is committed: sorted as the models are, two spaces, a line end."""
    import json
    from importlib import import_module

    module, _, path = SCHEMAS[name].partition(":")
    make: Any = import_module(module)
    for part in path.split("."):
        make = getattr(make, part)
    return json.dumps(make(), indent=2, ensure_ascii=False) + "\n"


@click.command(epilog=EPILOG)
@click.argument("name", type=click.Choice(list(SCHEMAS)))
def schema(name: str) -> None:
    """Print the JSON Schema of NAME: of a scenario with the step types and environments that are installed.

    report is that of report.json, matrix that of matrix.json, the report of all cells.
    """
    click.echo(schema_text(name), nl=False)
