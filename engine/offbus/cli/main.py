"""The `offbus` command: finds subcommands lazily, turns errors into one message and an exit code.

Built-in commands are in a table with their one-line help, so that `offbus --help` imports none of them. Further
ones come from the entry points `offbus.commands`, like step types and environments do.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from offbus import __version__
from offbus.cli.output import open_outputs, say
from offbus.exits import Exit
from offbus.plugins import COMMANDS, installed

__all__ = ["cli", "main"]

BUILT_IN = {
    "run": ("offbus.cli.commands.run:run", "Run a scenario; undo everything; prove what happened."),
    "validate": ("offbus.cli.commands.validate:validate", "Check scenarios and show every finding at once."),
    "explain": ("offbus.cli.commands.explain:explain", "Explain the code of a finding."),
    "matrix": ("offbus.cli.commands.matrix:matrix", "List the cells of a scenario's matrix."),
    "plan": ("offbus.cli.commands.plan:plan", "Show what a run would do, without doing it."),
    "recover": ("offbus.cli.commands.recover:recover", "Undo what an unfinished run left behind."),
    "stop": ("offbus.cli.commands.stop:stop", "Ask a running run to stop and undo."),
    "residue": ("offbus.cli.commands.residue:residue", "Compare a run's environment with its state before."),
    "report": ("offbus.cli.commands.report:report", "Show the report of a run, finished or not."),
    "steps": ("offbus.cli.commands.steps:steps", "List the step types, or explain one."),
    "schema": (
        "offbus.cli.commands.schema:schema",
        "Print the JSON schema of scenarios, reports, journals or matrices.",
    ),
    "completion": (
        "offbus.cli.commands.completion:completion",
        "Print the completion script for your shell.",
    ),
}
"""Command -> where it is, and its line in `--help`."""

NO_PLUGINS = ("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""pydantic would look into every installed distribution for plugins of its own: 6 % of a cold `validate`."""

EPILOG = """\b
Examples:
  offbus run scenarios/xid79.yaml
  offbus run scenarios/xid79.yaml --set backend=sglang
  offbus validate scenarios/*.yaml
  offbus recover latest

\b
Exit codes: 0 passed, 1 failed, 2 usage error, 3 could not run, 4 residue, 130 interrupted and clean.
"""


class LazyGroup(click.Group):
    """Imports a command when it is called, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, built-in ones first."""
        return [*BUILT_IN, *(name for name in _plugged() if name not in BUILT_IN)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name in BUILT_IN:
            module, _, attribute = BUILT_IN[cmd_name][0].partition(":")
            command = getattr(import_module(module), attribute)
        elif cmd_name in _plugged():
            command = installed().command(cmd_name)
        else:
            return None
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing the built-in ones."""
        rows = [(name, help_line) for name, (_, help_line) in BUILT_IN.items()]
        for name in _plugged():
            command = self.get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with a suggestion for a mistyped command."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            from offbus.findings.suggest import closest

            close = closest(name, self.list_commands(ctx))
            hint = f" Did you mean {close!r}?" if close else ""
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="offbus")
def cli() -> None:
    """GPU failure drills for the Kubernetes clusters that serve models."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, called by offbus.entrypoint. Never returns."""
    os.environ.setdefault(*NO_PLUGINS)
    lost = open_outputs()
    try:
        code = cli.main(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as problem:
        # as click shows it, but printable: it repeats what was typed
        text = io.StringIO()
        problem.show(text)
        for line in text.getvalue().rstrip("\n").split("\n"):
            say(line, err=True)
        code = Exit.INVALID
    except (KeyboardInterrupt, click.Abort):
        click.echo("offbus: interrupted before anything was changed", err=True)
        code = Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the outermost level: one message, never a traceback
        from offbus.cli.problems import print_error

        code = print_error(error)
    code = int(code or 0)
    if why := lost():
        click.echo(f"offbus: standard output cannot be written: {why}", err=True)
        code = code or Exit.COULD_NOT_RUN
    sys.exit(code)


def _plugged() -> list[str]:
    return list(installed().names(COMMANDS))
