"""The admission webhook: a small HTTPS server in the cluster. `python -m offbus_steps.kubernetes.webhook.server`

    create key and certificate -> listen -> publish the certificate (a ConfigMap) -> answer reviews until SIGTERM

It is for clusters that do not serve MutatingAdmissionPolicy (offbus_steps.prepare.by_admission), which call it only
while a run's configuration exists. It holds no state and no secret but its own key, reads no object, and has one
permission in the cluster: to write its certificate into one ConfigMap, where runners read it; the API server ensures
that nobody else writes it. Its answers are a pure function of the request (`reviews`), so it authenticates no client;
idle connections are bounded as the agent's are, and what requests hold is (`bodies`).

A crash affects no pod: the API server ignores its failures. A restart creates a new certificate, and a configuration
with the old one has no effect from then on; the step that is loading finds that its pods come without the shim, and
fails. It stops before its certificate expires; the Deployment restarts it.
"""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import structlog
import uvicorn

from offbus.errors import CouldNotRun
from offbus.exits import Exit
from offbus_agent.http.connections import AT_ONCE, bounded, protocol
from offbus_agent.http.listen import ListenError, listen_tcp
from offbus_agent.http.uvicorn_server import OwnSignals
from offbus_steps.kubernetes.json_log import log_json
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, open_port
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.kubernetes.webhook.bodies import Bodies, TooLarge, TooSlow
from offbus_steps.kubernetes.webhook.certificate import LIFETIME, Identity, new_identity
from offbus_steps.kubernetes.webhook.reviews import reviewed
from offbus_steps.port import Invalid, NotFound, PortError, Ref
from offbus_steps.prepare.webhook_configuration import CERTIFICATE, SERVICE, images_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

__all__ = ["application", "main"]

PORT = 8443
GRACE_S = 5
MOST_CONNECTIONS = 128
"""Several times what API servers open for pods that are created together: one more ends a review that is under way.
Beside its body, each holds up to 0.7 MiB of buffers for TLS, and twice as many may be open for a moment."""
REFUSALS: Mapping[type[Exception], tuple[int, str]] = {
    Invalid: (400, "invalid"),
    TooSlow: (408, "body_too_slow"),
    TooLarge: (413, "body_too_large"),
}
ENDS_AFTER_S = LIFETIME.total_seconds() * 0.8


def application() -> "ASGIApp":
    """The routes."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    app = Starlette(
        routes=[
            Route("/healthz", _healthy, methods=["GET"]),
            Route("/load", _review, methods=["POST"]),
            Route("/load/{images:path}", _review, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would go to the host that the request names
    app.state.bodies = Bodies()
    return bounded(app)


async def _healthy(_: "Request") -> "Response":
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("ok\n")


async def _review(request: "Request") -> "Response":
    from starlette.responses import JSONResponse

    try:
        images = images_of(request.url.path)
        return JSONResponse(reviewed(await request.app.state.bodies.read(request.stream()), images))
    except (Invalid, TooLarge, TooSlow) as err:
        status, code = REFUSALS[type(err)]
        structlog.get_logger().warning("refused", why=str(err))
        closed = {} if status == 400 else {"Connection": "close"}  # the rest of the body is not waited for
        return JSONResponse({"error": {"code": code, "message": str(err)}}, status, closed)


class _Server(OwnSignals):
    """uvicorn on our socket with our certificate and our signal handlers."""

    def __init__(self, identity: Identity) -> None:
        config = uvicorn.Config(
            application(),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            loop="asyncio",
            http=protocol(MOST_CONNECTIONS),
            backlog=AT_ONCE,
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config, identity.context)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="offbus_steps.kubernetes.webhook.server", description=__doc__)
    add: Any = parser.add_argument
    add("--namespace", default=AGENT_NAMESPACE, help="where its Service and its ConfigMap are")
    add("--host", default="0.0.0.0", help="the address to listen on")
    add("--port", type=int, default=PORT, help="the port to listen on")
    add("--context", default="", help="context of the kubeconfig; default: the current one")
    add("--kubeconfig", default="", help="kubeconfig file; default: as kubectl finds it, or in-cluster")
    args = parser.parse_args(argv)
    log_json()
    try:
        identity = new_identity([f"{SERVICE}.{args.namespace}.svc"])
        with listen_tcp(args.host, args.port) as sock:
            anyio.run(_publish, args, identity.certificate)
            asyncio.run(_serve(_Server(identity), sock))
    except (CouldNotRun, ListenError, PortError) as err:
        structlog.get_logger().error("cannot serve", why=str(err))
        return Exit.COULD_NOT_RUN
    return Exit.PASSED


async def _publish(args: argparse.Namespace, certificate: str) -> None:
    """Write the certificate where runners read it. Raises CouldNotRun, PortError."""
    ref = Ref("ConfigMap", SERVICE, args.namespace)
    async with open_port(Login(args.kubeconfig, args.context)) as port:
        try:
            await port.objects.patch(ref, {"data": {CERTIFICATE: certificate}})
        except NotFound as err:
            raise CouldNotRun(f"{ref} does not exist", hint="run `kubectl apply -k deploy/webhook`") from err


async def _serve(server: _Server, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    _end_in_time(server)
    structlog.get_logger().info("serving", address="{}:{}".format(*sock.getsockname()[:2]))
    await server.serve(sockets=[sock])


def _end_in_time(server: _Server) -> None:
    """Its Deployment restarts it, with a new certificate."""
    asyncio.get_running_loop().call_later(ENDS_AFTER_S, server.stop)


if __name__ == "__main__":
    sys.exit(main())
