"""The test cluster's command: up, status, down, and playing with its nodes. docs/test-cluster.md tells more."""

import os
import sys

import click

from tests.kits.cluster import lifecycle, machine, network, node, programs, status
from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import ClusterPaths, locked
from tests.kits.cluster.plan import NODES, Node, node_named


@click.group()
def main() -> None:
    """A real Kubernetes cluster of three nodes on this machine. Needs root."""


def tell(line: str) -> None:
    """Say it at once."""
    click.echo(f"cluster: {line}")


@main.command()
def up() -> None:
    """Build what is missing, start the cluster, wait until it is ready."""
    paths = ClusterPaths.default()
    with locked(paths):
        lifecycle.up(paths, tell)
    click.echo(status.how_to_use(paths, lifecycle.programs(paths) / "kubectl"))


@main.command()
def down() -> None:
    """Remove the cluster without a trace; exit status 1 when something is left."""
    paths = ClusterPaths.default()
    with locked(paths):
        lifecycle.down(paths, tell)


@main.command("status")
def show() -> None:
    """Show versions, nodes and pods; exit status 1 when no whole cluster runs."""
    sys.exit(not status.print_status(ClusterPaths.default()))


@main.command()
@click.option("--kwok", is_flag=True, help="kwok too, for fleets of nodes that are not there.")
def build(kwok: bool) -> None:
    """Only build the programs, and (as root) install the packages that they need; print their folders."""
    if os.geteuid() == 0:
        machine.install_packages()
    for what in (programs.KUBERNETES, programs.STANDIN, *([programs.KWOK] if kwok else [])):
        click.echo(programs.build(what))


def named(_context: click.Context, _parameter: click.Parameter, value: str) -> Node:
    """The node of that name."""
    return node_named(value)


NODE = click.argument("which", metavar="NODE", type=click.Choice([n.name for n in NODES]), callback=named)


@main.command()
@NODE
def off(which: Node) -> None:
    """Switch a node off at once, as a loss of power would."""
    node.lose_power(ClusterPaths.default(), which)


@main.command()
@NODE
def on(which: Node) -> None:
    """Switch a node on again; its disk is as it was."""
    paths = ClusterPaths.default()
    node.boot(paths, lifecycle.programs(paths), (which,))


@main.command()
@NODE
def cut(which: Node) -> None:
    """Cut a node's cable."""
    network.cut(which)


@main.command()
@NODE
def reconnect(which: Node) -> None:
    """Substitution a node's cable."""
    network.reconnect(which)


@main.command(context_settings={"ignore_unknown_options": True})
@NODE
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def enter(which: Node, command: tuple[str, ...]) -> None:
    """Run a command inside a node, such as `enter n1 journalctl -k`."""
    line = node.enter(ClusterPaths.default(), which, list(command))
    os.execvp(line[0], line)  # noqa: S606  the command is the user's own


if __name__ == "__main__":
    try:
        main()
    except ClusterError as err:
        click.echo(f"cluster: {err}", err=True)
        sys.exit(1)
