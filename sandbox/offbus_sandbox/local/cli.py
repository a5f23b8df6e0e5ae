"""`offbus local up|down|status`: a local cluster that stays up. Heavy imports happen inside the commands."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from offbus_sandbox.local.names import flag
from offbus_sandbox.size import GPUS_PER_NODE, MOST_GPUS_PER_NODE, MOST_NODES, NODES

if TYPE_CHECKING:
    from offbus_sandbox.layout import Layout

__all__ = ["local"]

name_option = click.option("--name", default="default", show_default=True, help="Which sandbox.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(short_help="Run a local cluster of processes that stays up.")
def local() -> None:
    """Run a local cluster of processes that stays up.

    Runs in the environment `local` use the sandbox `default` while it is up. It ends by itself after half an hour
    without a client.
    """


@local.command()
@name_option
@click.option(
    "--nodes", default=NODES, show_default=True, type=click.IntRange(1, MOST_NODES), help="How many nodes."
)
@click.option(
    "--gpus",
    default=GPUS_PER_NODE,
    show_default=True,
    type=click.IntRange(0, MOST_GPUS_PER_NODE),
    help="GPUs of each node.",
)
@click.option(
    "--responder/--no-responder", default=True, show_default=True, help="Run the stand-in responder."
)
@click.option(
    "--driver-version",
    metavar="VERSION",
    help="What the nodes say of their NVIDIA driver, as 580.82.07; NVLink 5 lines (XID 144 to 150) depend on it.",
)
@click.option(
    "--gpu-metadata/--no-gpu-metadata",
    default=True,
    show_default=True,
    help="Nodes have the file by which NVSentinel's monitor knows their GPUs.",
)
@click.option(
    "--gateway/--no-gateway",
    default=True,
    show_default=True,
    help="Serve the published fault injection API on this machine (docs/gateway.md).",
)
@click.option(
    "--gateway-port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Its port; any other one if it is in use.",
)
@json_option
def up(
    name: str,
    nodes: int,
    gpus: int,
    responder: bool,
    driver_version: str | None,
    gpu_metadata: bool,
    gateway: bool,
    gateway_port: int,
    as_json: bool,
) -> None:
    """Start a sandbox, or resume one whose supervisor was killed."""
    import anyio

    from offbus.errors import CouldNotRun
    from offbus_sandbox.config import DRIVER_PATTERN, DRIVER_VERSION, SandboxConfig
    from offbus_sandbox.local.launch import is_running, start

    version = driver_version or DRIVER_VERSION
    if not re.fullmatch(DRIVER_PATTERN, version):
        raise click.BadParameter(
            f"{version!r} is no driver version; write it as 580.82.07", param_hint="--driver-version"
        )
    layout = layout_of(name)
    config = SandboxConfig(nodes=nodes, gpus_per_node=gpus, driver_version=version, gpu_metadata=gpu_metadata)
    config = config if responder else config.model_copy(update={"responder": None})
    config = config.model_copy(update={"gateway": gateway, "gateway_port": gateway_port})
    if layout.config.exists() and not config.is_of(SandboxConfig.load(layout.config)):
        # a sandbox with users and objects is never changed
        raise CouldNotRun(
            f"{name} already exists with a different number of nodes or GPUs, or a different responder or driver",
            hint=f"run `offbus local down{flag(name)}`, then `offbus local up` again",
        )
    started = not is_running(layout)
    if started:
        anyio.run(start, layout, config)
    address = address_of(layout)
    report = {"name": name, "folder": str(layout.real), "started": started, "gateway": address}
    text = f"{name} is up: {nodes} nodes, {nodes * gpus} GPUs, in {layout.real}"
    text = text if started else f"{name} is already up"
    if address:
        text += f"\ngateway: {address}, token in {layout.gateway_token}"
    say(as_json, report, text)


@local.command()
@name_option
@click.option(
    "--force", is_flag=True, help="First stop the run that uses it; the run undoes its changes and reports."
)
@json_option
def down(name: str, force: bool, as_json: bool) -> None:
    """End a sandbox: disarm all faults, end all processes, remove its folder."""
    from offbus_sandbox.local.down import take_down

    layout = layout_of(name)
    if not layout.real.exists():
        say(as_json, {"name": name, "was_up": False}, f"{name} is not up")
        return
    take_down(layout, force=force)
    say(as_json, {"name": name, "was_up": True}, f"{name} is down; all its processes have ended")


@local.command("apply")
@click.argument("manifest", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@name_option
@json_option
def apply_manifest(manifest: Path, name: str, as_json: bool) -> None:
    """Create the objects of MANIFEST in a sandbox that is up, and wait until its workloads are ready.

    For playing by hand: `offbus local apply scenarios/targets/deployment.yaml`. What is there already stays as it is.
    """
    import anyio

    from offbus.errors import CouldNotRun
    from offbus_sandbox.local.apply import apply
    from offbus_sandbox.local.launch import is_running

    layout = layout_of(name)
    if not is_running(layout):
        raise CouldNotRun(f"{name} is not up", hint=f"run `offbus local up{flag(name)}`")
    made = anyio.run(apply, layout, manifest)
    report = {"name": name, "created": made}
    say(as_json, report, f"created {', '.join(made)}" if made else "everything was there already")


@local.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Show nodes, pods and faults of a sandbox; exit code 1 when it is not up."""
    import anyio

    from offbus.exits import Exit
    from offbus_sandbox.local.launch import is_running

    layout = layout_of(name)
    if not is_running(layout):
        say(
            as_json,
            {"name": name, "up": False},
            f"{name} is not up; start it with `offbus local up{flag(name)}`",
        )
        sys.exit(Exit.FAILED)
    from offbus_sandbox.local.status import overview, rows

    found = anyio.run(overview, layout)
    say(as_json, {"name": name, "up": True, **found}, "\n".join(rows(name, found)))


def address_of(layout: "Layout") -> str | None:
    """Where the sandbox's gateway listens; None without one."""
    try:
        return layout.gateway_address.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def layout_of(name: str) -> "Layout":
    """The files of a named sandbox. Raises UsageError."""
    from offbus_sandbox.layout import Layout
    from offbus_sandbox.local.names import folder_of

    folder: Path = folder_of(name)
    return Layout.of(folder)


def say(as_json: bool, report: dict[str, Any], text: str) -> None:
    """Print the result as text or as JSON."""
    click.echo(json.dumps(report, indent=2) if as_json else text)
