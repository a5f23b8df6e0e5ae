"""`python -m offbus_sandbox.supervisor --dir DIR [--ready-fd N]`: started by `offbus_sandbox.local.launch`.

It detaches itself at once (its starter only waits for the line on the descriptor), so that it outlives every client.
On the descriptor it writes one JSON line: `{"ready": true}` or `{"error": …, "hint": …}`.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from offbus.errors import OffbusError
from offbus.exits import Exit

__all__ = ["main"]


def main() -> None:
    """Detach, then serve. The exit code is one of offbus.exits."""
    parser = argparse.ArgumentParser(prog="offbus_sandbox.supervisor", description=__doc__)
    parser.add_argument("--dir", required=True, type=Path, help="the sandbox's folder")
    parser.add_argument("--ready-fd", type=int, help="descriptor that gets a line when requests are served")
    args = parser.parse_args()
    starter = os.getpid()
    if os.fork():
        os._exit(
            Exit.PASSED
        )  # the starter waits for this process; nothing is set up yet that needs cleaning up
    try:
        run(args.dir, args.ready_fd, starter)
    except OffbusError as err:
        tell(args.ready_fd, {"error": err.message, "hint": err.hint})
        print(f"offbus supervisor: {err}", file=sys.stderr)
        sys.exit(Exit.COULD_NOT_RUN)
    sys.exit(Exit.PASSED)


def run(folder: Path, ready_fd: int | None, starter: int) -> None:
    """Take the lock, end leftovers of a killed supervisor, serve. Raises CouldNotRun."""
    import anyio

    from offbus.journal.lock import FileLock
    from offbus_sandbox.config import SandboxConfig
    from offbus_sandbox.layout import Layout
    from offbus_sandbox.processes.survey import end_leftovers
    from offbus_sandbox.supervisor.supervisor import Supervisor
    from offbus_sandbox.supervisor.token import make_token

    layout = Layout.of(folder)
    layout.make()
    with FileLock(layout.lock, f"the sandbox {layout.real}"):
        config = SandboxConfig.load(layout.config)
        make_token(layout.token)
        make_token(layout.gateway_token)

        async def live() -> None:
            await end_leftovers(layout, {starter})
            await Supervisor(layout, config).run(lambda: tell(ready_fd, {"ready": True}))

        try:
            anyio.run(live)
        except BaseExceptionGroup as group:
            raise first_known(group) or group from group


def first_known(group: BaseExceptionGroup[BaseException]) -> OffbusError | None:
    """The first expected error in a group, at any depth; None when there are only bugs."""
    for err in group.exceptions:
        found = first_known(err) if isinstance(err, BaseExceptionGroup) else err
        if isinstance(found, OffbusError):
            return found
    return None


def tell(fd: int | None, message: dict[str, object]) -> None:
    """Report the result to the starter; one that has ended is not a reason to stop."""
    if fd is None:
        return
    try:
        os.write(fd, (json.dumps(message) + "\n").encode())
        if "ready" in message:
            os.close(fd)  # otherwise it stays open: its close shows the starter the end of this process
    except OSError:
        print("offbus supervisor: the starter has ended", file=sys.stderr)


if __name__ == "__main__":
    main()
