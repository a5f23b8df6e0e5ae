"""`python -m offbus_sandbox.responder detector|controller|janitor`: the programs of the stand-in responder.

In `local` the controller includes the janitor; in a cluster each node runs its own.

Exit codes: 0 after SIGTERM or SIGINT, 2 for wrong arguments or configuration. Anything else is a bug: a traceback and
1; the supervisor restarts the program, which continues from the cluster's state. Logs go to stderr.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio

from offbus.errors import UsageError
from offbus.exits import Exit
from offbus_sandbox.responder.config import JanitorMode, ResponderConfig, load_config
from offbus_sandbox.responder.connect import connect
from offbus_steps.port import Port

__all__ = ["main"]

Ready = Callable[[], None]


def main(argv: list[str] | None = None) -> int:
    """Run the selected program."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        config = load_config(args.config)
    except UsageError as err:
        print(f"offbus responder: {err}", file=sys.stderr)
        return Exit.INVALID
    anyio.run(_until_asked_to_stop, args, config)
    return Exit.PASSED


async def _until_asked_to_stop(args: argparse.Namespace, config: ResponderConfig) -> None:
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            tasks.start_soon(_run, args, config)
            async for _ in signals:
                tasks.cancel_scope.cancel()
                return


async def _run(args: argparse.Namespace, config: ResponderConfig) -> None:
    ready = Readiness(args.ready_fd).tell
    async with connect(args.api) as port:
        await PROGRAMS[args.program](args, config, port, ready)


async def _detect(args: argparse.Namespace, config: ResponderConfig, port: Port, ready: Ready) -> None:
    from offbus_sandbox.responder.detector.detector import Detector

    log = args.kernel_log or args.root / "kmsg"
    await Detector(args.node, args.root, log, port, config).run(ready)


async def _control(args: argparse.Namespace, config: ResponderConfig, port: Port, ready: Ready) -> None:
    from offbus_sandbox.responder.controller.controller import Controller

    nodes = args.nodes or args.api.parent / "nodes"
    await Controller(port, config, nodes if nodes.is_dir() else None).run(ready)


async def _pretend(args: argparse.Namespace, config: ResponderConfig, port: Port, ready: Ready) -> None:
    from offbus_sandbox.responder.janitor.janitor import Janitor
    from offbus_sandbox.responder.janitor.node_repair import OwnNode

    ready()
    if config.janitor is JanitorMode.MANUAL:
        await anyio.sleep_forever()
    own = OwnNode(args.node, args.root, args.kernel_log or args.root / "kmsg")
    await Janitor(port.objects, own, config).run()


PROGRAMS = {"detector": _detect, "controller": _control, "janitor": _pretend}


class Readiness:
    """Reports once to the starter that the program is ready; the starter then closes its end."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def tell(self) -> None:
        """Write the line and close the descriptor; later calls do nothing."""
        if self._fd is not None:
            os.write(self._fd, b"ready\n")
            os.close(self._fd)
            self._fd = None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="offbus_sandbox.responder", description=__doc__)
    programs = parser.add_subparsers(dest="program", required=True)
    detector = programs.add_parser("detector", help="follow one node's kernel log")
    janitor = programs.add_parser("janitor", help="simulate one node's maintenance")
    for program in (detector, janitor):
        program.add_argument("--node", required=True, help="the node's name")
        program.add_argument("--root", required=True, type=Path, help="the node's root folder")
        program.add_argument("--kernel-log", type=Path, help="record file or device; default: ROOT/kmsg")
    controller = programs.add_parser("controller", help="cordon, drain, remediate, uncordon")
    controller.add_argument(
        "--nodes", type=Path, help="folder with the nodes' folders; default: beside the socket"
    )
    for program in (detector, controller, janitor):
        program.add_argument(
            "--api", required=True, type=Path, help="the supervisor's socket, or `kubernetes`"
        )
        program.add_argument("--config", help="JSON file of settings (docs/responder.md)")
        program.add_argument(
            "--ready-fd", type=int, help="descriptor that gets a line when the program is ready"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
