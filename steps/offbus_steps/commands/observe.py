"""`offbus observe`: what it takes; cheap to import. `record_responder` and `compare_recording` do the work."""

from pathlib import Path

import click

from offbus.cli.commands.options import env_set_option, format_option

__all__ = ["observe"]

EPILOG = """\b
Examples:
  offbus observe --env kubernetes --out drill.jsonl
  offbus observe --env local --node node-1 --for 5m --out drill.jsonl
  offbus observe --compare drill.jsonl --profile main-2026-08
  offbus observe --compare drill.jsonl --fault-at 5s --format json

\b
Exit codes: 0 recorded, or no difference; 1 differences; 2 usage error or no recording; 3 could not record.
"""


@click.command(
    epilog=EPILOG,
    short_help="Record what a responder does, or compare a recording with its release.",
)
@click.option("--env", metavar="NAME", help="Record in this environment: kubernetes or local.")
@env_set_option
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Record into this new file.")
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Record this node only.  [repeatable]")
@click.option("--for", "duration", metavar="DURATION", help="Record for so long.  [default: until Ctrl-C]")
@click.option("--names", is_flag=True, help="Record the names of nodes instead of pseudonyms.")
@click.option(
    "--responder-namespace",
    metavar="NAME",
    help="Where the responder is deployed, whose version is recorded.  [default: nvsentinel]",
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
def observe(
    env: str | None,
    env_sets: dict[str, str],
    out: Path | None,
    nodes: tuple[str, ...],
    duration: str | None,
    names: bool,
    responder_namespace: str | None,
    compare: Path | None,
    profile: str,
    fault_at: str | None,
    faster: float,
    form: str,
) -> None:
    """Record what a responder does to nodes, or compare such a recording with what is known of a release.

    With --env and --out: record cordons, taints, conditions, the responder's labels and annotations, its maintenance
    resources, evicted pods and Events, until Ctrl-C or for a time. It only lists and watches. Names are replaced by
    pseudonyms, and what others wrote is left out.

    With --compare: a recording is split into quarantines, one for each fault of a node. Of each it is told where the
    order of its stages, or the time between two of them, is not as in the release; and whether that was seen or read
    there.
    """
    from offbus.errors import UsageError

    if compare is not None:
        from offbus_steps.commands.compare_recording import compare_recording

        if env or out or nodes or duration or names or env_sets or responder_namespace:
            raise UsageError("--compare reads a recording, and takes no option of recording one", hint=_HOW)
        code = compare_recording(compare, profile, fault_at=fault_at, faster=faster, form=form)
        raise click.exceptions.Exit(code)
    from offbus_steps.commands.record_responder import record_responder

    if env is None or out is None:
        raise UsageError("say what to observe", hint=_HOW)
    if fault_at is not None or faster != 1.0 or form != "text":
        raise UsageError("recording takes no option of a comparison", hint=_HOW)
    code = record_responder(
        env,
        env_sets,
        out,
        nodes=nodes,
        names=names,
        duration=duration,
        responder_namespace=responder_namespace,
    )
    raise click.exceptions.Exit(code)


_HOW = "`--env NAME --out FILE` records, `--compare FILE` compares a recording"
