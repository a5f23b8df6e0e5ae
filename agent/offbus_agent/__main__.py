"""The program `offbus-agent`.

Job: turn the command line into one call, and every expected failure into one line on stderr. Exit codes are those
of offbus: 2 for a command line that cannot work (such as a bad token file), 3 for a node where the agent cannot run
(a port in use, no kernel log, another agent). Imports happen inside the functions, so that `--help` is quick.
"""

import os
from pathlib import Path
from typing import NoReturn

import click

__all__ = ["main"]

_USER_ID = click.IntRange(0, 2**32 - 2)
INVALID = 2
COULD_NOT_RUN = 3

_EXAMPLES = """
\b
Examples:
  On a node (as the DaemonSet runs it):
    offbus-agent serve --node $NODE_NAME --token-file /etc/offbus/token --host 0.0.0.0
  A node of `local`, on a Unix socket:
    offbus-agent serve --node node-1 --root nodes/node-1 --uds nodes/node-1/agent.sock --token-file token
  Without privileges, beside the kernel-log helper, which has them:
    offbus-agent kmsg-helper --socket /run/helper/socket
    offbus-agent serve --node $NODE_NAME --token-file /etc/offbus/token --kmsg-helper /run/helper/socket
  Only XIDs 79 and 94, one fault at a time:
    offbus-agent serve --node n --token-file token --allow-xid 79 --allow-xid 94 --max-faults 1
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The offbus node agent: manages the faults of one node."""


@main.command(epilog=_EXAMPLES)
@click.option("--node", required=True, help="The node's name in Kubernetes.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    default="/",
    show_default=True,
    help="The node's root folder, with its /proc, /run and GPU files.",
)
@click.option("--uds", type=click.Path(path_type=Path), help="Listen on this Unix socket instead of a port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8083,
    show_default=True,
    help="Listen on this port; 0: any free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    required=True,
    help="File with the token that every write needs; must not be world-readable.",
)
@click.option(
    "--kmsg",
    type=click.Path(path_type=Path),
    help="The kernel log. Default: ROOT/kmsg beside a ROOT/gpus.json, else ROOT/dev/kmsg.",
)
@click.option(
    "--kmsg-helper",
    type=click.Path(path_type=Path),
    help="Ask the kernel-log helper on this socket for all that needs root, instead of opening --kmsg.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for the faults' state, across restarts. Default: ROOT/var/lib/offbus.",
)
@click.option(
    "--allow-xid",
    type=int,
    multiple=True,
    help="Allow only this XID (repeatable). Default: the whole catalogue.",
)
@click.option(
    "--max-faults",
    type=click.IntRange(1, 16),
    default=8,
    show_default=True,
    help="How many faults may be armed at once.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 6000),
    default=30,
    show_default=True,
    help="Injections per minute, after a burst of --burst.",
)
@click.option(
    "--burst", type=click.IntRange(1, 1000), default=10, show_default=True, help="Injections at once."
)
@click.option("--ready-fd", type=int, help="Write one byte to this descriptor when requests are served.")
def serve(
    node: str,
    root: Path,
    uds: Path | None,
    host: str,
    port: int,
    token_file: Path,
    kmsg: Path | None,
    kmsg_helper: Path | None,
    state: Path | None,
    allow_xid: tuple[int, ...],
    max_faults: int,
    rate: int,
    burst: int,
    ready_fd: int | None,
) -> None:
    """Serve one node's faults over HTTP, until SIGTERM or SIGINT.

    Faults that are armed when the agent ends stay until their lease expires or the agent's heartbeat is missed; a
    restarted agent resumes those whose lease still runs.
    """
    from offbus_agent.agent import NodePaths
    from offbus_agent.faults.policy import Policy, TokenBucket
    from offbus_agent.program import CannotServeError, InvalidOptionError, Options, run

    if kmsg and kmsg_helper:
        raise click.UsageError("--kmsg is the helper's --log where --kmsg-helper is given; leave it out")
    usual = root / "kmsg" if (root / "gpus.json").exists() else root / "dev/kmsg"
    options = Options(
        paths=NodePaths(node, root, kmsg or usual, state or root / "var/lib/offbus"),
        policy=Policy(frozenset(allow_xid) or None, max_faults, TokenBucket(burst=burst, per_minute=rate)),
        token_file=token_file,
        uds=uds,
        host=host,
        port=port,
        ready_fd=ready_fd,
        helper=kmsg_helper,
    )
    try:
        run(options)
    except InvalidOptionError as err:
        _leave(err, INVALID)
    except CannotServeError as err:
        _leave(err, COULD_NOT_RUN)


@main.command("kmsg-helper")
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    help="Listen on this Unix socket; the served user must be able to write in its folder.",
)
@click.option(
    "--uid", type=_USER_ID, default=60883, show_default=True, help="Serve only this user: the agent's."
)
@click.option("--gid", type=_USER_ID, help="The agent's group. Default: as --uid.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    default="/dev/kmsg",
    show_default=True,
    help="The kernel log, or a local node's record file; never created.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True),
    default="/",
    show_default=True,
    help="The node's root folder, where /run/offbus and /var/lib/offbus are made.",
)
@click.option(
    "--lines-per-hour",
    type=click.IntRange(1, 3600),
    default=600,
    show_default=True,
    help="How many kernel lines may be written in an hour.",
)
@click.option(
    "--gpus",
    type=click.IntRange(1, 64),
    default=16,
    show_default=True,
    help="On how many GPUs they may be in an hour.",
)
@click.option(
    "--stop-file",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Write no line while this file is there (repeatable, at most 4).",
)
def kmsg_helper(
    path: Path,
    uid: int,
    gid: int | None,
    log: Path,
    root: Path,
    lines_per_hour: int,
    gpus: int,
    stop_file: tuple[Path, ...],
) -> None:
    """Do for an agent without privileges what needs root: kernel lines, folders, fixed questions about processes.

    This command becomes the program offbus-kmsg-helper, which is in C and can do nothing else
    (docs/reference/kernel-log-helper.md).
    """
    from offbus_agent.page.native_library import HELPER, NativeMissingError, library

    options = {
        "socket": path,
        "uid": uid,
        "gid": uid if gid is None else gid,
        "log": log,
        "root": "" if root == Path("/") else root,
        "lines-per-hour": lines_per_hour,
        "gpus": gpus,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    words += [f"--stop-file={file}" for file in stop_file]
    try:
        program = library(HELPER)
    except NativeMissingError as err:
        _leave(err, COULD_NOT_RUN)
    os.execv(program, [HELPER, *words])  # noqa: S606  from an argument list


def _leave(err: Exception, code: int) -> NoReturn:
    click.echo(f"offbus-agent: {err}", err=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
