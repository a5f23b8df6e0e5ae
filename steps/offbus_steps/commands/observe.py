"""`offbus observe`: what it takes; cheap to import. `compare_recording` and `record_responder` do the work."""

from pathlib import Path

import click

from offbus.cli.commands.options import format_option

__all__ = ["observe"]

EPILOG = """\b
Examples:
  offbus observe --compare drill.jsonl --profile main-2026-08
  offbus observe --compare drill.jsonl --fault-at 5s --format json

\b
Exit codes: 0 no difference, 1 differences, 2 usage error or no recording.
"""


@click.command(
    epilog=EPILOG, short_help="Compare a recording of a responder with what is known of its release."
)
@click.option("--compare", type=click.Path(path_type=Path), metavar="FILE", help="Compare this recording.")
@click.option(
    "--profile",
    default="main-2026-08",
    show_default=True,
    metavar="NAME",
    help="Compare with the course of this release.",
)
@click.option(
    "--fault-at",
    metavar="DURATION",
    help="When, in the recording, the fault was injected: its detection is compared as well.",
)
@click.option(
    "--faster",
    type=click.FloatRange(min=0, min_open=True, max=1000),
    default=1.0,
    show_default=True,
    help="The responder's delays are that many times shorter than the release's.",
)
@format_option("How to print the comparison.")
def observe(compare: Path | None, profile: str, fault_at: str | None, faster: float, form: str) -> None:
    """Compare a recording of what a responder did with what is known of a release.

    A recording is split into quarantines, one for each fault of a node. Of each it is told where the order of its
    stages, or the time between two of them, is not as in the release; and whether that was seen or read there.
    """
    from offbus.errors import UsageError
    from offbus_steps.commands.compare_recording import compare_recording

    if compare is None:
        raise UsageError("nothing to do", hint="name a recording: --compare FILE")
    code = compare_recording(compare, profile, fault_at=fault_at, faster=faster, form=form)
    raise click.exceptions.Exit(code)
