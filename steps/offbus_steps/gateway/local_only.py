"""Keeps a gateway on this machine's loopback to this machine: a web page may not call it under another name.

A browser sends requests to 127.0.0.1 for any page; a name of the page's own may lead there, too (DNS rebinding). So the
`Host` must be this server's own, and an `Origin`, if there is one, too.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from offbus_agent.http.problems import problem_response
from offbus_agent.refusals import Refusal

__all__ = ["local_only"]

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def local_only(app: ASGIApp, port: int) -> ASGIApp:
    """The application for requests to this server by one of its own names."""
    hosts = frozenset(f"{name}:{port}" for name in _LOOPBACK)
    origins = frozenset(f"http://{host}" for host in hosts)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (why := _objection(scope, hosts, origins)):
            hint = f"call http://127.0.0.1:{port} itself, and from no web page"
            await problem_response(Refusal(403, "not_local", why, hint))(scope, receive, send)
            return
        await app(scope, receive, send)

    return serve


def _objection(scope: Scope, hosts: frozenset[str], origins: frozenset[str]) -> str:
    found: Mapping[bytes, bytes] = dict(scope["headers"])
    host = found.get(b"host", b"").decode("latin-1").lower()
    origin = found.get(b"origin")
    if host not in hosts:
        return f"Host {host!r} is not this server's"
    if origin is not None and origin.decode("latin-1").lower() not in origins:
        return f"Origin {origin.decode('latin-1')!r} is not this server's"
    return ""
