"""`offbus recover [RUN]`."""

from pathlib import Path

import click

from offbus.cli.commands.options import env_set_option, runs_option, settle_option

__all__ = ["recover"]

EPILOG = """\b
Examples:
  offbus recover                 every unfinished run, the newest first
  offbus recover --plan          show what would be undone, and do nothing
  offbus recover latest          the newest run
  offbus recover 3f9a2c41        a run by its id
  offbus recover ./runs/2026…    a run by its folder, also a copy from elsewhere
  offbus recover --env kubernetes  a run of another machine, from the events stored in the cluster
"""


@click.command(epilog=EPILOG)
@click.argument("run", default="all")
@click.option("--plan", "plan_only", is_flag=True, help="Show what would be undone; change nothing.")
@click.option(
    "--env", metavar="NAME", help="Look for the run in this environment, not in the folder of runs."
)
@env_set_option
@click.option(
    "--trust",
    is_flag=True,
    help="Recover from a folder that others own or can write, too. Names every object, and asks.",
)
@click.option("--yes", is_flag=True, help="With --trust: do not ask.")
@runs_option
@settle_option
def recover(
    run: str,
    plan_only: bool,
    env: str | None,
    env_sets: dict[str, str],
    trust: bool,
    yes: bool,
    runs: Path | None,
    settle: bool,
) -> None:
    """Undo what an unfinished RUN left behind, from its journal; without RUN, what every unfinished run left.

    Safe to repeat: what is already undone stays as it is. Exit code 0 when nothing is left, 4 when something is, 2 for
    a folder that is not yours.
    """
    from offbus.cli.handlers.recover import recover_runs

    if yes and not trust:
        raise click.UsageError("--yes needs --trust")
    if trust and (env is not None or plan_only):
        raise click.UsageError("--trust is about recovering from a folder: not with --env or --plan")
    if env is not None:
        from offbus.cli.handlers.recover_remote import recover_from

        code = recover_from(env, env_sets, run, plan_only=plan_only, runs=runs, settle=settle)
        raise click.exceptions.Exit(code)
    if env_sets:
        raise click.UsageError("--env-set needs --env NAME")
    code = recover_runs(run, plan_only=plan_only, runs=runs, trust=trust, yes=yes, settle=settle)
    raise click.exceptions.Exit(code)
