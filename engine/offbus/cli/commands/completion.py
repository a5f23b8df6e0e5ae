"""`offbus completion SHELL`."""

import click

__all__ = ["completion"]

EPILOG = """\b
Examples:
  eval "$(offbus completion bash)"
  offbus completion zsh > ~/.zfunc/_offbus
  offbus completion fish > ~/.config/fish/completions/offbus.fish
"""


@click.command(epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    from offbus.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click does not know the shell {shell}")
    click.echo(kind(cli, {}, "offbus", "_OFFBUS_COMPLETE").source())
