"""`offbus init`: what it takes; cheap to import. `write_drill` does the work."""

import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from offbus.cli.commands.options import env_set_option
from offbus_steps.commands.scaffold.choice import NamedChoice
from offbus_steps.commands.scaffold.recipes import BACKENDS, ENVIRONMENTS, FROM_KINDS, RECIPES, xids_in

__all__ = ["init"]

EPILOG = """\b
Examples:
  offbus init                                        asks what to rehearse, and where
  offbus init drills --recipe contained --yes        XID 94, in drills/, no question
  offbus init drills --xid 79,48,94                  a matrix of XIDs
  offbus init drills --env kubernetes --backend sglang -n drill-llm
  offbus init drills --from deployment/llm -n prod   a workload that runs already
  offbus init --list-recipes

\b
Exit codes: 0 written, 2 usage error, 3 the cluster cannot be looked at or the disk is full, 130 interrupted.
Files are written with 0 alone.
"""


def _xids(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(number for value in values for number in xids_in(value))


def _known_xids(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from offbus_agent.catalogue.catalogue import catalogue

    before, comma, last = begun.rpartition(",")
    known = catalogue().values()
    return [
        CompletionItem(f"{before}{comma}{one.number}", help=one.title)
        for one in known
        if str(one.number).startswith(last)
    ]


def _kinds(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return [
        CompletionItem(f"{words[0]}/") for words in FROM_KINDS.values() if words[0].startswith(begun.lower())
    ]


def _list_recipes(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    for one in RECIPES.values():
        numbers = ", ".join(map(str, one.xids))
        click.echo(f"{one.name:18}{one.summary}\n{'':18}XID {numbers} by default; takes {one.suits}")
    context.exit()


@click.command(epilog=EPILOG, short_help="Write a scenario of your own, and its target's manifest.")
@click.argument("folder", type=click.Path(path_type=Path), default=".", metavar="[FOLDER]")
@click.option(
    "--recipe",
    type=NamedChoice(RECIPES),
    help="What is rehearsed.  [default: by the XID, else cordon-and-drain]",
)
@click.option(
    "--list-recipes",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list_recipes,
    help="List the recipes.",
)
@click.option(
    "--xid",
    "xids",
    multiple=True,
    metavar="NUMBER",
    callback=_xids,
    shell_complete=_known_xids,
    help="The fault; several, with commas between, are a matrix.  [default: the recipe's]",
)
@click.option(
    "--name", metavar="NAME", help="Name of the scenario and its file.  [default: by recipe and XID]"
)
@click.option(
    "--env",
    type=NamedChoice(ENVIRONMENTS),
    help="Where it runs.  [default: local; kubernetes with --from, --image, --context]",
)
@click.option("--context", metavar="NAME", help="Context of your kubeconfig.  [default: the current one]")
@env_set_option
@click.option(
    "--from",
    "workload",
    metavar="KIND/NAME",
    shell_complete=_kinds,
    help="Take a workload that is there already. It is looked at; nothing of its spec is copied.",
)
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The target's namespace.  [default: your context's, or drill-demo]",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Where that workload serves HTTP, if it does not say so."
)
@click.option("--backend", type=NamedChoice(BACKENDS), help="What a new target runs.  [default: vllm]")
@click.option("--image", metavar="IMAGE", help="Its image, on a cluster.  [default: the backend's]")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing. Nothing is asked without a terminal, either.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def init(
    folder: Path, *, yes: bool, force: bool, context: str | None, env_sets: dict[str, str], **options: Any
) -> None:
    """Write a scenario of your own into FOLDER, and the manifest of its target, with comments that explain them.

    Asks what no option says, when it is called on a terminal. Both files are written or none, and none that is there
    is overwritten. The schema by which editors complete and check scenarios is written beside them, once.
    """
    from offbus_steps.commands.scaffold.drill import Asked
    from offbus_steps.commands.write_drill import write_drill

    sets = env_sets if context is None else {**env_sets, "context": context}
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    write_drill(Asked(env_sets=sets, **options), folder, force=force, asks=asks)
