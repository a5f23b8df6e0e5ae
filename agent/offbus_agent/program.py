"""The running agent: checks its options, opens the node, serves until a signal.

Job: the order of these steps. Token, catalogue options and socket are checked before the node is changed; the keeper
runs beside the server; SIGTERM and SIGINT end both. Failures that a user can fix are `InvalidOptionError` or
`CannotServeError` with one line; anything else is a bug and keeps its traceback.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from offbus_agent.agent import Agent, NodePaths, open_agent
from offbus_agent.catalogue.catalogue import UnknownXid, lookup
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.store import Store, StoreError
from offbus_agent.http.connections import AT_ONCE, protocol
from offbus_agent.http.listen import ListenError, listen_tcp, listen_unix, log_accept_errors_rarely, name_of
from offbus_agent.http.readiness import Readiness
from offbus_agent.http.server import application
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.http.uvicorn_server import OwnSignals
from offbus_agent.kernel_log.log import KernelLogError
from offbus_agent.kmsg_helper import HelperUnreachable, KmsgHelper
from offbus_agent.lease_keeper import keep
from offbus_agent.lease_time import boot_id
from offbus_agent.planes.page_plane import NodePageError

__all__ = ["CannotServeError", "InvalidOptionError", "Options", "run"]

_GRACE_S = 2
"""How long requests in flight (mostly long polls) may take after a signal."""

_FIRST_LOOK_S = 5.0


class InvalidOptionError(Exception):
    """Raised when the command line cannot work."""


class CannotServeError(Exception):
    """Raised when the agent cannot run on the node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed command line."""

    paths: NodePaths
    policy: Policy
    token_file: Path
    uds: Path | None
    host: str
    port: int
    ready_fd: int | None
    helper: Path | None
    """The kernel-log helper's socket; None: this process does it all itself."""


def run(options: Options) -> None:
    """Serve until a signal. Raises InvalidOptionError, CannotServeError."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # it warns of each request that is not HTTP
    token = _checked_token(options)
    try:
        sock = listen_unix(options.uds) if options.uds else listen_tcp(options.host, options.port)
    except ListenError as err:
        raise CannotServeError(str(err)) from err
    with sock, _opened(options) as agent:
        asyncio.run(_serve(agent, token, sock, options))


def _checked_token(options: Options) -> TokenFile:
    token = TokenFile(options.token_file)
    try:
        token.read()
        for xid in options.policy.xids or ():
            lookup(xid)
    except (TokenError, UnknownXid) as err:
        raise InvalidOptionError(str(err)) from err
    try:
        if options.ready_fd is not None:
            os.fstat(options.ready_fd)
    except (OSError, OverflowError) as err:
        raise InvalidOptionError(f"--ready-fd {options.ready_fd} is not an open descriptor") from err
    return token


def _helper(path: Path | None) -> KmsgHelper | None:
    """The helper, once it listens: it makes the folders, the state's too."""
    if path is None:
        return None
    helper = KmsgHelper(path)
    try:
        helper.await_listening()
    except HelperUnreachable as err:
        raise CannotServeError(f"{err}; start `offbus-agent kmsg-helper` first") from err
    return helper


@contextmanager
def _opened(options: Options) -> Iterator[Agent]:
    helper = _helper(options.helper)
    try:
        store = Store(options.paths.state, boot_id())
    except (OSError, StoreError) as err:
        raise CannotServeError(f"cannot use --state {options.paths.state}: {err}") from err
    try:
        warning = store.load()
        if warning:
            logging.getLogger(__name__).warning("%s", warning)
        try:
            agent = open_agent(options.paths, options.policy, store, helper=helper)
        except KernelLogError as err:
            raise CannotServeError(f"{err.message}; {err.hint}" if err.hint else err.message) from err
        except NodePageError as err:
            raise CannotServeError(str(err)) from err
        yield agent
    finally:
        store.close()


async def _serve(agent: Agent, token: TokenFile, sock: socket.socket, options: Options) -> None:
    server = _Server(agent, token, sock, options.ready_fd)
    loop = asyncio.get_running_loop()
    log_accept_errors_rarely(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(keep(agent))
        await agent.collector.news(_FIRST_LOOK_S)  # makes the files of pods that are here already
        await server.serve(sockets=[sock])
        keeper.cancel()


class _Server(OwnSignals):
    """uvicorn on our socket, with our signal handlers; reports readiness once requests are served."""

    def __init__(self, agent: Agent, token: TokenFile, sock: socket.socket, ready_fd: int | None) -> None:
        readiness = Readiness(agent, token)
        super().__init__(
            uvicorn.Config(
                application(agent, token, readiness),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                loop="asyncio",
                http=protocol(token=token, ready=readiness),
                backlog=AT_ONCE,
                ws="none",
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        self._name = name_of(sock)
        self._ready_fd = ready_fd

    def on_started(self) -> None:
        """Report that the agent is ready."""
        print(f"offbus-agent: ready on {self._name}", flush=True)
        if self._ready_fd is not None:
            os.write(self._ready_fd, b"\n")
            os.close(self._ready_fd)
