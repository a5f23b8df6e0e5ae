"""How errors look on the screen, and which exit code each has."""

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from offbus import __version__
from offbus.cli.output import say
from offbus.errors import OffbusError, UsageError
from offbus.exits import Exit
from offbus.userinfo import without_userinfo

if TYPE_CHECKING:
    from offbus.findings.model import Finding

__all__ = ["exit_code", "print_error", "print_warnings"]


def exit_code(act: Callable[[], Exit | None]) -> Exit:
    """The code that `act` returns, or that of its OffbusError, which is printed: what follows `act` still happens."""
    try:
        return act() or Exit.PASSED
    except OffbusError as err:
        return Exit(print_error(err))


def print_warnings(findings: "Sequence[Finding]") -> None:
    """On stderr, as `offbus validate` shows them; nothing for none."""
    if findings:
        from offbus.colour import wants_colour
        from offbus.findings.render_text import render

        click.echo(render(findings, colour=wants_colour(sys.stderr, os.environ)), err=True)


def print_error(error: Exception) -> int:
    """Print one message for an error and return the exit code."""
    if os.environ.get("OFFBUS_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, OffbusError):
        from offbus.findings.invalid_scenario import InvalidScenario

        # one line, but for the findings of a scenario, which are rendered line by line
        lines = error.message.split("\n") if isinstance(error, InvalidScenario) else [error.message]
        for number, line in enumerate(lines):
            say(line if number else f"offbus: {line}", err=True)
        if error.hint:
            say(f"  {error.hint}", err=True)
        return Exit.INVALID if isinstance(error, UsageError) else Exit.COULD_NOT_RUN
    text = f"offbus {__version__}\n" + "".join(traceback.format_exception(error))
    with tempfile.NamedTemporaryFile("w", prefix="offbus-bug-", suffix=".txt", delete=False) as file:
        file.write(without_userinfo(text))
    say(f"offbus: internal error: {type(error).__name__}: {without_userinfo(str(error))}", err=True)
    say(f"  this is a bug in offbus {__version__}; details are in {Path(file.name)}", err=True)
    return Exit.COULD_NOT_RUN
