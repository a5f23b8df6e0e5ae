"""Connections that are aborted when they are closed.

asyncio closes a TLS connection with a close_notify and waits for the server's, for half a minute: also that of a
request that was cancelled, which so outlives its session, and the event loop. aiohttp leaves it there; it aborts only
what is open when its session is closed. Here every connection that it closes is aborted. Nothing is lost: a connection
is closed when nothing more is read from it, and HTTP says where an answer ends. (Not covered: the refusal of a proxy
that is itself reached by TLS.)

The only module that uses private parts of aiohttp (decision 0014), which has neither a setting for this nor a parameter
for the protocol: the connector's `_factory`, which makes the protocol of each connection, and the protocol itself,
`aiohttp.client_proto.ResponseHandler`, whose `close` is called for each connection that is not used again. When they
change, nothing fails at once: connections that were given up linger for up to half a minute, and a command that was
interrupted ends with warnings about sockets that were left open.
"""

import asyncio
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler

__all__ = ["end_at_once"]


class Abrupt(ResponseHandler):
    """A connection of aiohttp's that is aborted where it would be closed."""

    def close(self) -> None:
        """See aiohttp: called for each connection that is not to be used again."""
        if self.transport is not None:
            self.transport.abort()
        super().close()


def end_at_once(session: aiohttp.ClientSession) -> None:
    """Make a new session abort its connections on close. Sockets are closed in the event loop's next iteration."""
    connector = session.connector
    if connector is None:
        raise ValueError("the session is closed")
    made = partial(Abrupt, loop=asyncio.get_running_loop())
    connector._factory = made  # type: ignore[assignment]  # aiohttp has no parameter for it, and types its own class
