"""Watches that are resumed after any lost connection, until the server says 410.

The server ends a watch after a minute (`timeoutSeconds`), a restart breaks it: each time it is resumed after the last
version seen, bookmarks included. A watch from no version ("") begins with what is there. When the server cannot be
reached for `BLIND_S` it raises Unavailable; the caller decides what follows. Only the version is kept.

What lies between (a load balancer, a proxy) may drop a connection without a word to either side, and answer TCP's
keep-alive probes itself. The server's end of the watch is the sign of life: one that did not come is Silent, which is
never resumed here, because the caller has to say that it was blind. Bookmarks alone are no such sign. kube-apiserver
sends them about every minute, and 2 s before the end (apiserver v0.34, storage/cacher: `defaultBookmarkFrequency`,
`nextBookmarkTime`), so that the version is fresh when the watch is resumed; but the API promises no interval, "nor may
they assume the server will send any BOOKMARK event during a session" (metav1.ListOptions.allowWatchBookmarks), and a
watch from no version gets none. `timeoutSeconds` is kept by every server, "regardless of any activity or inactivity".
"""

import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio

from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.deep_json import parsed
from offbus_steps.kubernetes.rest.errors import error_of
from offbus_steps.port import Silent, Unavailable, WatchEvent, WatchType
from offbus_steps.text_lines import LineTooLong, lines_of

__all__ = ["events_after"]

BLIND_S = 60.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
ASKED_S = (45, 60)
"""Range of the requested duration of a connection; random, so that the watches of a run do not all end at once."""
SLACK_S = 15.0
"""How much later its end may come, until the connection counts as dropped."""


async def events_after(
    api: Api, path: str, params: Mapping[str, str], version: str
) -> AsyncGenerator[WatchEvent, None]:
    """Changes after `version`, without end. Raises Gone, Silent, Unavailable, Forbidden, NotFound."""
    outage = _Outage()
    while True:
        began = anyio.current_time()
        try:
            async with aclosing(_one_connection(api, path, params, version, outage)) as events:
                async for event in events:
                    version = event.object["metadata"]["resourceVersion"]
                    yield event
        except Silent:
            raise
        except Unavailable as err:
            await outage.rest(err)
        else:  # it ended as it should; a server that ends each at once must not be asked without a pause
            await anyio.sleep(max(0.0, began + FIRST_PAUSE - anyio.current_time()))


async def _one_connection(
    api: Api, path: str, params: Mapping[str, str], version: str, outage: "_Outage"
) -> AsyncGenerator[WatchEvent, None]:
    import aiohttp

    asked_s = random.randint(*ASKED_S)  # noqa: S311  not for secrecy
    asked = {"watch": "1", "timeoutSeconds": str(asked_s), "resourceVersion": version}
    if version:  # without one, a server on an old etcd refuses bookmarks (RequestWatchProgress)
        asked["allowWatchBookmarks"] = "true"
    call = Call("GET", path, params={**params, **asked})
    response = await api.open_stream(call, total_s=asked_s + SLACK_S)
    outage.over()
    heard = anyio.current_time()
    try:
        async for line in lines_of(response.content.iter_any()):
            heard = anyio.current_time()
            yield _event(call, line)
    except TimeoutError as err:
        raise Silent(str(call), silent_s=anyio.current_time() - heard) from err
    except (aiohttp.ClientError, OSError, LineTooLong) as err:
        raise Unavailable(f"{call}: the watch broke off: {str(err) or type(err).__name__}") from err
    finally:
        response.close()


def _event(call: Call, line: str) -> WatchEvent:
    try:
        event: dict[str, Any] = parsed(line.encode())
    except ValueError as err:  # the connection was cut in the middle of a line
        raise Unavailable(f"{call}: the watch broke off within an event") from err
    found = event["object"]
    if event["type"] == "ERROR":
        raise error_of(int(found.get("code") or 500), found, None, str(call))
    return WatchEvent(WatchType(event["type"]), found)


@dataclass(slots=True)
class _Outage:
    """How long a watch has been without its server, and how long to wait before the next try."""

    since: float | None = None
    pause: float = FIRST_PAUSE

    def over(self) -> None:
        """The server answered."""
        self.since, self.pause = None, FIRST_PAUSE

    async def rest(self, err: Unavailable) -> None:
        """Wait before the next try. Raises `err` when the server has been away for too long."""
        now = anyio.current_time()
        self.since = now if self.since is None else self.since
        if now - self.since > BLIND_S:
            err.away_s = now - self.since
            raise err
        await anyio.sleep(max(self.pause, err.after.total_seconds()))
        self.pause = min(self.pause * 2, LONGEST_PAUSE)
