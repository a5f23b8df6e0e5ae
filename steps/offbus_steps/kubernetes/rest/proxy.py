"""HTTP through the API server's proxy of pods and services, which tells failures of the path from the target's.

    the API server cannot be reached, or answers for itself (429, 5xx, not ready)  -> Unavailable, the path
    "error trying to reach service", no endpoints, no such pod                     -> PortError, the target
    anything else, whatever its status                                            -> the target's own answer

The server answers for itself with a `Status` object, and so may a target: its answer passes through unchanged, and
nothing in it shows who wrote it. So a `Status` that tells of a failure of the path is believed only when the server
refuses the same call to a pod that cannot be, too: no target has a part in that answer. A refusal that is over by then
is told as the target's. (`Authorization` passes through neither way.)

A connection that breaks while the body streams does not show who broke it, either: then the server is asked whether it
is ready. An answer that comes compressed is broken: nobody asked for it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from offbus_steps.kubernetes.rest.api import CONNECT_S, Api, Call
from offbus_steps.kubernetes.rest.errors import error_of, status_in
from offbus_steps.port import Forbidden, PortError, Unavailable
from offbus_steps.text_lines import encoding_of

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Proxied", "TargetUnreachable", "breaking", "proxied_answer", "whose_break"]

LARGEST_STATUS = 64 * 1024
UNREACHED = ("error trying to reach service", "no endpoints available for service", "address not allowed")
"""How the API server begins its message when the target did not answer (k8s.io/apimachinery/pkg/util/proxy,
pkg/registry/core/service/storage)."""

NOBODY = "-nobody"
"""The name of no pod: theirs begin with a letter or a digit (RFC 1123)."""
MISSING = 404


class TargetUnreachable(PortError):
    """Raised when the API server could not reach the target: it refused, timed out, or has no endpoints."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """An answer through the proxy, with its body if that had to be read to know whose answer it is."""

    response: "aiohttp.ClientResponse"
    body: bytes | None
    """Set when the body was read, whole or, of a refusal that does not end, its first `LARGEST_STATUS` bytes."""


@asynccontextmanager
async def proxied_answer(api: Api, call: Call, target: object) -> AsyncIterator[Proxied]:
    """The target's own answer; the caller bounds it.

    Raises Unavailable for the path, TargetUnreachable, NotFound, PortError.
    """
    async with api.raw(call, total_s=None) as response:
        if encoding := encoding_of(response.headers):
            raise PortError(f"{target} answered with Content-Encoding {encoding!r}, which was not asked for")
        body = None
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        if response.status >= 400 and is_json and (response.content_length or 0) <= LARGEST_STATUS:
            with breaking():
                body = await _beginning(response)
            status = status_in(body) if len(body) <= LARGEST_STATUS else None
            if status is not None:
                message = str(status.get("message", ""))
                if message.startswith(UNREACHED):
                    raise TargetUnreachable(f"{target}: {message}")
                after, doing = response.headers.get("Retry-After"), f"the API server's proxy to {target}"
                err = error_of(response.status, status, after, doing)
                raise await _whose_refusal(api, call, err, f"{target} answered {response.status}: {message}")
        yield Proxied(response, body)


async def _whose_refusal(api: Api, call: Call, err: PortError, said: str) -> PortError:
    """The path's failure when the server itself refuses such calls, else the target's; `said`: what it answered."""
    if not isinstance(err, Forbidden | Unavailable):
        return err
    if await _lets_pass(api, call):
        return PortError(said, evidence=err.evidence)
    # missing permissions are a failure of the path, never of the target
    return Unavailable(err.message, hint=err.hint) if isinstance(err, Forbidden) else err


async def _lets_pass(api: Api, call: Call) -> bool:
    """Whether the server takes such a call as far as to look for its pod: there is none of that name."""
    objects = "/".join(call.path.split("/")[:6])  # /api/v1/namespaces/NAMESPACE/pods: see `paths.proxied`
    try:
        async with api.raw(Call(call.method, f"{objects}/{NOBODY}/proxy"), total_s=CONNECT_S) as answer:
            return answer.status == MISSING
    except Unavailable:
        return False


async def _beginning(response: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_STATUS:
            break
    return bytes(body)


@contextmanager
def breaking() -> Iterator[None]:
    """Turn aiohttp's errors while a body is read into `Broken`."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as err:
        raise Broken(str(err) or type(err).__name__) from err


class Broken(PortError):
    """Raised when a body breaks off; `whose_break` tells whose failure that is."""


async def whose_break(api: Api, err: Broken, target: object) -> PortError:
    """The path's failure when the API server does not answer, else the target's."""
    if await api.ready():
        return PortError(f"{target} broke the connection: {err.message}")
    return Unavailable(f"the API server broke the connection to {target}: {err.message}")
