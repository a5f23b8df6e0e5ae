"""`offbus conformance`: what it takes; cheap to import. `detector_table` does the work."""

import click

from offbus.cli.commands.options import format_option

__all__ = ["conformance"]

EPILOG = """\b
Examples:
  offbus conformance
  offbus conformance 79
  offbus conformance --detector nvsentinel --surface marked
  offbus conformance 119 120 --detector dcgm --format json

\b
Exit codes: 0 printed, whatever is detected; 2 usage error.
"""


@click.command(epilog=EPILOG, short_help="Show which detectors see which faults, and what they would do.")
@click.argument("names", metavar="[FAULT]...", nargs=-1)
@click.option(
    "--detector",
    "chosen",
    multiple=True,
    metavar="NAME",
    help="Only this detector (nvsentinel), or one release of it (nvsentinel/v1.8).  [repeatable]",
)
@click.option(
    "--surface",
    "surfaces",
    multiple=True,
    metavar="NAME",
    help="Only this dialect of the kernel line, or plane (nvml, cuda).  [repeatable]",
)
@format_option("How to print.")
def conformance(
    names: tuple[str, ...], chosen: tuple[str, ...], surfaces: tuple[str, ...], form: str
) -> None:
    """Show which detectors see a fault, by the dialect of its kernel line or on a plane, and what each would do.

    Of every detector its own rules are used, as they are in the release that is named: NVSentinel (through journald's
    rules), DCGM, gpud, node-problem-detector, the NVIDIA device plugin, Dynamo's engine monitor. Each has its
    source. Nothing is asked of a network or a cluster. FAULT is as `offbus xid` takes it; without one, all faults are
    counted.
    """
    from offbus_steps.commands.detector_table import show_table

    show_table(names, chosen, surfaces, form)
