"""The running gateway: checks its options, listens, serves until a signal, and undoes what is live then.

It first undoes what a gateway before it left in the same folder of runs. The first signal ends it: what is live is
recovered, then the server stops. A second SIGINT leaves at once and prints what finishes the rest.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn

from offbus.cli.handlers.recover import recover_folder
from offbus.cli.output import say
from offbus.errors import CouldNotRun, OffbusError, UsageError
from offbus.exits import Exit
from offbus.language.check.cli_environment import named_options
from offbus.plugins import installed
from offbus.runner.signals import stop_on_signals
from offbus.runs import make_base
from offbus_agent.faults.policy import TokenBucket
from offbus_agent.http.connections import AT_ONCE, protocol
from offbus_agent.http.listen import ListenError, listen_tcp, log_accept_errors_rarely, name_of
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.http.uvicorn_server import OwnSignals
from offbus_steps.gateway.audit import Audit
from offbus_steps.gateway.callers import Callers, Reviews
from offbus_steps.gateway.config import GatewayConfig, read_config
from offbus_steps.gateway.fault_scenario import Chosen
from offbus_steps.gateway.faults import Faults
from offbus_steps.gateway.local_only import local_only
from offbus_steps.gateway.operations import Gateway
from offbus_steps.gateway.record import folders
from offbus_steps.gateway.server import application

__all__ = ["Options", "serve_gateway"]

_GRACE_S = 2
_PARTING = "offbus gateway: exited before everything was undone; finish with: offbus recover"
_TOKENLESS = (
    "WARNING: --allow-tokenless: everybody who reaches {where} can inject faults, which may get nodes "
    "cordoned and rebooted. Use it on a trusted network alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed command line."""

    env: str
    env_sets: Mapping[str, str]
    config: Path | None
    host: str
    port: int
    token_file: Path | None
    kubernetes_auth: bool
    tokenless: bool
    runs: Path | None
    audit: Path | None
    address_file: Path | None
    """Where its address is written; with it, another port will do."""
    ready_fd: int | None


def serve_gateway(options: Options) -> Exit:
    """Serve until a signal; whether everything is undone then. Raises UsageError, CouldNotRun."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for quiet in ("uvicorn", "httpx"):
        logging.getLogger(quiet).setLevel(logging.ERROR)
    config = read_config(options.config)
    _, chosen = named_options(options.env, options.env_sets, installed())
    _require_bounds(options, config)
    token = _token(options.token_file)
    audit, base = Audit(options.audit), make_base(options.runs)
    _finish_own(base)
    with _listening(options) as sock:
        if options.tokenless:
            say(_TOKENLESS.format(where=name_of(sock)), err=True)
        residue = anyio.run(partial(_serve, options, config, chosen, token, audit, base, sock))
    for one in residue:
        say(f"offbus gateway: residue: {one}", err=True)
    return Exit.RESIDUE if residue else Exit.PASSED


def _finish_own(base: Path) -> None:
    """Undo what a gateway before this one left, when it was killed: nothing could be injected before."""
    for folder in (one for one in folders(base) if one.unfinished.exists() and not one.in_use()):
        try:
            with redirect_stdout(sys.stderr):  # the audit log may be on standard output
                recover_folder(base, folder, settle=False)
        except OffbusError as err:
            say(f"offbus gateway: run {folder.id} is not undone: {err}", err=True)


def _listening(options: Options) -> socket.socket:
    """Raises CouldNotRun."""
    try:
        try:
            sock = listen_tcp(options.host, options.port)
        except ListenError:
            if options.address_file is None:
                raise
            sock = listen_tcp(options.host, 0)
        if options.address_file is not None:
            options.address_file.write_text(name_of(sock) + "\n", encoding="utf-8")
    except (ListenError, OSError) as err:
        raise CouldNotRun(str(err)) from err
    return sock


def _require_bounds(options: Options, config: GatewayConfig) -> None:
    """Raises UsageError for a gateway that would be open to more than it says."""
    if options.env == "local" and options.host not in ("127.0.0.1", "localhost"):
        raise UsageError(
            f"--host {options.host}: a gateway of `local` listens on this machine alone", hint="use 127.0.0.1"
        )
    if options.env != "local" and "namespaces" not in config.guards.model_fields_set:
        raise UsageError(
            "the configuration says in no `guards: {namespaces: [...]}` which namespaces belong to drills",
            hint="write them into the file of --config: the pods of all others are left alone",
        )
    if options.kubernetes_auth and options.env != "kubernetes":
        raise UsageError("--kubernetes-auth asks a cluster", hint="use it with --env kubernetes")
    if not (options.token_file or options.kubernetes_auth or options.tokenless):
        raise UsageError(
            "nobody could call: there is neither --token-file nor --kubernetes-auth",
            hint="make a token: head -c 32 /dev/urandom | base64 > token; chmod 0600 token",
        )


def _token(path: Path | None) -> TokenFile | None:
    if path is None:
        return None
    token = TokenFile(path)
    try:
        token.read()
    except TokenError as err:
        raise UsageError(str(err)) from err
    return token


@asynccontextmanager
async def _reviews(options: Options, chosen: Any) -> AsyncIterator[Reviews | None]:
    if not options.kubernetes_auth:
        yield None
        return
    from offbus_steps.gateway.reviews import ClusterReviews
    from offbus_steps.kubernetes.connect import port_of

    async with port_of(chosen) as port:
        yield ClusterReviews(port)


async def _serve(
    options: Options,
    config: GatewayConfig,
    chosen: Any,
    token: TokenFile | None,
    audit: Audit,
    base: Path,
    sock: socket.socket,
) -> list[str]:
    residue: list[str] = []
    loop = asyncio.get_running_loop()
    log_accept_errors_rarely(loop)
    async with _reviews(options, chosen) as reviews, anyio.create_task_group() as tasks:
        faults = Faults(Chosen(options.env, options.env_sets), config, base, tasks)
        gateway = Gateway(
            faults,
            config,
            options.env,
            options.tokenless,
            TokenBucket(burst=config.burst, per_minute=config.per_minute),
        )
        callers = Callers(token, reviews, tokenless=options.tokenless)
        app = application(gateway, callers, audit)
        port = sock.getsockname()[1]
        server = _Server(local_only(app, port) if options.env == "local" else app, token, sock, options)

        def stop(signal: str) -> None:
            tasks.start_soon(_stop, faults, server, signal, residue)

        with stop_on_signals(loop.call_soon_threadsafe, stop, lambda: _PARTING):
            await server.serve(sockets=[sock])
    return residue


async def _stop(faults: Faults, server: "_Server", signal: str, residue: list[str]) -> None:
    try:
        residue += await faults.end_all(f"the gateway was stopped by {signal}")
    finally:
        server.stop()


class _Server(OwnSignals):
    """uvicorn on our socket, with our signal handlers; reports readiness once requests are served."""

    def __init__(self, app: Any, token: TokenFile | None, sock: socket.socket, options: Options) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            loop="asyncio",
            # Where others may call than those who show the token, requests are counted by who they are (`callers`).
            http=protocol(token=None if options.tokenless or options.kubernetes_auth else token),
            backlog=AT_ONCE,
            ws="none",
            timeout_graceful_shutdown=_GRACE_S,
        )
        super().__init__(config)
        self._sock, self._options = sock, options

    def on_started(self) -> None:
        """Report that the gateway is ready."""
        say(f"offbus gateway: ready on {name_of(self._sock)}, environment {self._options.env}", err=True)
        if self._options.ready_fd is not None:
            os.write(self._options.ready_fd, b"\n")
            os.close(self._options.ready_fd)
