"""`offbus xid`: what it takes; cheap to import. `fault_catalogue` does the work."""

import click

from offbus.cli.commands.options import format_option

__all__ = ["xid"]

EPILOG = """\b
Examples:
  offbus xid
  offbus xid 79
  offbus xid NVLINK_ERROR
  offbus xid 20034
  offbus xid fallen-off
  offbus xid --severity critical --cordons
  offbus xid --format json

\b
Exit codes: 0 printed, a list may be empty; 2 usage error, or there is no such fault.
"""


@click.command(epilog=EPILOG, short_help="List the catalogued faults, or explain one.")
@click.argument("names", metavar="[FAULT]...", nargs=-1)
@click.option(
    "--kind",
    type=click.Choice(["xid", "sxid", "fallen-off", "all"]),
    help="Of GPUs, of NVSwitches, or the line without an XID.  [default: xid]",
)
@click.option(
    "--severity",
    "severities",
    multiple=True,
    type=click.Choice(["low", "medium", "high", "critical", "unknown"]),
    help="Of this severity, as the published testing guide calls it.  [repeatable]",
)
@click.option(
    "--cordons/--no-cordons", default=None, help="For which NVSentinel cordons the node, or does not."
)
@click.option(
    "--sticky/--no-sticky", default=None, help="Whose processes keep failing until they end, or do not."
)
@click.option(
    "--plane",
    "planes",
    multiple=True,
    type=click.Choice(["kernel", "cuda", "nvml"]),
    help="That show on this plane of real hardware.  [repeatable: on all of them]",
)
@click.option(
    "--action",
    "actions",
    multiple=True,
    type=click.Choice(
        ["NONE", "COMPONENT_RESET", "RESTART_VM", "RESTART_BM", "CONTACT_SUPPORT"], case_sensitive=False
    ),
    help="For which NVSentinel recommends this action.  [repeatable]",
)
@click.option("--drilled/--not-drilled", default=None, help="That a shipped scenario drills, or none does.")
@format_option("How to print; schema is the JSON Schema of json.", "schema")
def xid(
    names: tuple[str, ...],
    kind: str | None,
    severities: tuple[str, ...],
    cordons: bool | None,
    sticky: bool | None,
    planes: tuple[str, ...],
    actions: tuple[str, ...],
    drilled: bool | None,
    form: str,
) -> None:
    """List the catalogued faults, or explain each FAULT: an XID or SXID by its number, an XID by its mnemonic, or
    fallen-off, the line of a GPU that is gone without an XID.

    A page tells the line as the driver prints it, what CUDA and NVML calls answer and why, how bad the guides call it,
    what NVIDIA's catalogue, NVSentinel, DCGM, gpud, node-problem-detector and the device plugin would do, and which
    scenario drills it.
    """
    from offbus_steps.commands.fault_catalogue import Wanted, show_faults

    wanted = Wanted(kind, severities, cordons, sticky, planes, tuple(map(str.upper, actions)), drilled)
    show_faults(names, wanted, form)
