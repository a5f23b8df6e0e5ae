"""`offbus residue [RUN]`."""

from pathlib import Path

import click

from offbus.cli.commands.options import env_set_option, runs_option

__all__ = ["residue"]

EPILOG = """\b
Examples:
  offbus residue                                   the newest run's environment, as it is now
  offbus residue 3f9a2c41                          the environment of a run by its id
  offbus residue --env local --save before.json    save the fingerprint of an environment
  offbus residue --env local --against before.json compare it with the saved one
"""


@click.command(epilog=EPILOG)
@click.argument("run", default="latest")
@click.option("--env", metavar="NAME", help="Look at this environment instead of a run's.")
@env_set_option
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the fingerprint of --env here."
)
@click.option(
    "--against", type=click.Path(path_type=Path, dir_okay=False), help="Compare --env with this fingerprint."
)
@runs_option
def residue(
    run: str,
    env: str | None,
    env_sets: dict[str, str],
    save: Path | None,
    against: Path | None,
    runs: Path | None,
) -> None:
    """Compare a RUN's environment with its state before the run: everything that the run may touch.

    Each difference is listed with the command that fixes it; exit code 4 when there is one. Changes nothing.
    """
    from offbus.cli.handlers.residue import compare_named, compare_run

    if env is None:
        if save or against or env_sets:
            raise click.UsageError("--save, --against and --env-set need --env NAME")
        raise click.exceptions.Exit(compare_run(run, runs=runs))
    if (save is None) == (against is None):
        raise click.UsageError("with --env, set either --save FILE or --against FILE")
    raise click.exceptions.Exit(compare_named(env, env_sets, save=save, against=against, runs=runs))
