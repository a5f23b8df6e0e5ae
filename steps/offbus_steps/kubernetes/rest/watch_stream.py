"""Watches that are resumed after any lost connection, until the server says 410.

The server ends a watch after some minutes (`timeoutSeconds`), a restart breaks it, a network may drop it: each time it
is resumed after the last version seen, bookmarks included. A watch from no version ("") begins with what is there. When
the server cannot be reached for `BLIND_S` it raises Unavailable; the caller decides what follows. Only the version is
kept.
"""

import json
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio

from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.errors import error_of
from offbus_steps.port import Unavailable, WatchEvent, WatchType
from offbus_steps.text_lines import LineTooLong, lines_of

__all__ = ["events_after"]

BLIND_S = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
ASKED_S = (240, 300)
"""Range of the requested duration of a connection; random, so that the watches of a run do not all end at once."""
SLACK_S = 30.0


async def events_after(
    api: Api, path: str, params: Mapping[str, str], version: str
) -> AsyncGenerator[WatchEvent, None]:
    """Changes after `version`, without end. Raises Gone, Unavailable, Forbidden, NotFound."""
    outage = _Outage()
    while True:
        try:
            async with aclosing(_one_connection(api, path, params, version, outage)) as events:
                async for event in events:
                    version = event.object["metadata"]["resourceVersion"]
                    yield event
        except Unavailable as err:
            await outage.rest(err)
        else:  # it ended as it should; a server that ends each at once must not be asked without a pause
            await anyio.sleep(FIRST_PAUSE)


async def _one_connection(
    api: Api, path: str, params: Mapping[str, str], version: str, outage: "_Outage"
) -> AsyncGenerator[WatchEvent, None]:
    import aiohttp

    call, asked_s = _call(path, params, version)
    response = await api.open_stream(call, total_s=asked_s + SLACK_S)
    outage.over()
    try:
        async for line in lines_of(response.content.iter_any()):
            yield _event(call, line)
    except (aiohttp.ClientError, TimeoutError, OSError, LineTooLong) as err:
        raise Unavailable(f"{call}: the watch broke off: {str(err) or type(err).__name__}") from err
    finally:
        response.close()


def _call(path: str, params: Mapping[str, str], version: str) -> tuple[Call, int]:
    asked_s = random.randint(*ASKED_S)  # noqa: S311  not for secrecy
    asked = {"watch": "1", "timeoutSeconds": str(asked_s)}
    if version:  # without one, a server on an old etcd refuses bookmarks (RequestWatchProgress)
        asked["allowWatchBookmarks"] = "true"
    return Call("GET", path, params={**params, **asked, "resourceVersion": version}), asked_s


def _event(call: Call, line: str) -> WatchEvent:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError as err:  # the connection was cut in the middle of a line
        raise Unavailable(f"{call}: the watch broke off within an event") from err
    found = event["object"]
    if event["type"] == "ERROR":
        raise error_of(int(found.get("code") or 500), found, None, str(call))
    return WatchEvent(WatchType(event["type"]), found)


class _Outage:
    """How long a watch has been without its server, and how long to wait before the next try."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def over(self) -> None:
        """The server answered."""
        self._since, self._pause = None, FIRST_PAUSE

    async def rest(self, err: Unavailable) -> None:
        """Wait before the next try. Raises `err` when the server has been away for too long."""
        now = anyio.current_time()
        self._since = now if self._since is None else self._since
        if now - self._since > BLIND_S:
            err.away_s = now - self._since
            raise err
        await anyio.sleep(max(self._pause, err.after.total_seconds()))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
