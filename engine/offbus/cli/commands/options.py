"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "cell_option",
    "env_set_option",
    "format_option",
    "runs_option",
    "scenario_options",
    "settle_option",
]


def _pairs(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", param=parameter)
        pairs[name] = text
    return pairs


Command = TypeVar("Command", bound=Callable[..., Any])


def _option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(*names, **settings)


_set_option = _option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Set an input of the scenario.",
)
_inputs_option = _option(
    "--inputs",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A YAML or JSON file with values of inputs; --set comes before it, $OFFBUS_INPUT_NAME after it.",
)
_env_option = _option("--env", metavar="NAME", help="Use this environment instead of the scenario's.")
env_set_option = _option(
    "--env-set",
    "env_sets",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Set an option of the environment.",
)
runs_option = _option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="OFFBUS_RUNS",
    help="Where run folders are kept.  [default: $XDG_STATE_HOME/offbus/runs]",
)


cell_option = _option("--cell", metavar="ID", help="This cell of the scenario's matrix alone.")
settle_option = _option(
    "--settle/--no-settle",
    default=True,
    help="Whether to watch, after the undo, that nothing more happens to what was undone.  [default: --settle]",
)


def scenario_options(command: Command) -> Command:
    """What a scenario is loaded with: --set, --inputs, --env, --env-set."""
    return _set_option(_inputs_option(_env_option(env_set_option(command))))


def format_option(what: str, *more: str) -> Callable[[Command], Command]:
    """--format text or json, or one of `more`."""
    return _option(
        "--format",
        "form",
        type=click.Choice(["text", "json", *more]),
        default="text",
        show_default=True,
        help=what,
    )
