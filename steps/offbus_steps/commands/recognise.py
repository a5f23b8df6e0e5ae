"""`offbus recognise`: what it takes; cheap to import. `recognise_log` does the work."""

from pathlib import Path

import click

from offbus.cli.commands.options import format_option, runs_option

__all__ = ["recognise"]

EPILOG = """\b
Examples:
  journalctl -k -o json | offbus recognise
  cat /dev/kmsg | offbus recognise
  dmesg | offbus recognise --format json
  journalctl -kf -o json | offbus recognise

\b
Exit codes: 0 every line about a fault is a drill's, or there is none; 1 one is not, or cannot be told; 2 usage error;
3 standard input could not be read; 130 interrupted.
"""


@click.command(
    epilog=EPILOG, short_help="Tell, of a kernel log, which faults are a drill's, and of which run."
)
@format_option("How to print: json is one object a line, the last one with the counts.")
@runs_option
def recognise(form: str, runs: Path | None) -> None:
    """Read a kernel log from standard input and tell which of its lines about GPU faults were written by drills, and of
    which run, and which are the driver's own.

    The log may be as /dev/kmsg, dmesg or journalctl give it. No process can write a record with the kernel's own
    facility, so what tells the facility (/dev/kmsg, journalctl -o json, dmesg -x) also tells lines that other tools
    wrote. A run whose folder is here is asked whether its journal has the line. Lines are told as they come.
    """
    from offbus_steps.commands.recognise_log import recognise_log

    raise click.exceptions.Exit(recognise_log(form, runs))
