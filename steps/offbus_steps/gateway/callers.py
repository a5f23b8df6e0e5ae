"""Who calls the gateway, and whether they may: a bearer token, or the cluster's own users and rights.

    Authorization: Bearer TOKEN, or X-Offbus-Token: TOKEN

The token of the token file may do everything. With `--kubernetes-auth`, any other token is asked of the cluster: a
TokenReview says whose it is, a SubjectAccessReview whether they may (verb, resource `faults.offbus.dev`, the node as
name). On a trusted network (`--allow-tokenless`) a call that shows no token is `anonymous` and may do everything; one
that shows a wrong token is refused all the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from starlette.requests import Request

from offbus_agent.http.budget import Budget
from offbus_agent.http.connections import connection_of
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.refusals import Refusal

__all__ = ["ANONYMOUS", "GROUP", "RESOURCE", "Callers", "Reviews", "Verb"]

ANONYMOUS = "anonymous"
GROUP, RESOURCE = "offbus.dev", "faults"
Verb = Literal["get", "list", "create", "update", "delete"]


class Reviews(Protocol):
    """What a cluster says of a token, and of its user."""

    async def user_of(self, token: str) -> Mapping[str, Any] | None:
        """The user, as a TokenReview has it; None for no valid token. Raises PortError."""

    async def allows(self, user: Mapping[str, Any], verb: str, node: str) -> bool:
        """Whether the user may. Raises PortError."""


class Callers:
    """The callers of one gateway."""

    def __init__(self, token: TokenFile | None, reviews: Reviews | None, *, tokenless: bool) -> None:
        self._token = token
        self._reviews = reviews
        self.tokenless = tokenless
        self._budget = Budget()

    async def admitted(self, request: Request) -> "Caller":
        """Who calls. Raises Refusal 401, 429, 503."""
        caller = await self._known(request, _shown(request))
        connection = connection_of(request.scope)
        if connection:  # its request is served to its end, however many strangers come
            connection.admit()
        return caller

    async def _known(self, request: Request, shown: str) -> "Caller":
        if not shown and self.tokenless:
            return Caller(ANONYMOUS)
        if self._has_token(request):
            return Caller("token")
        if shown and self._reviews is not None:
            return await self._reviewed(request, self._reviews, shown)
        hint = "send Authorization: Bearer TOKEN"
        raise Refusal(
            401, "unauthorized", "this needs a token" if not shown else "this token is not known", hint
        )

    def _has_token(self, request: Request) -> bool:
        try:
            return self._token is not None and self._token.admits(request.headers)
        except TokenError as err:
            raise Refusal(503, "no_token", str(err), "fix the gateway's token file") from err

    async def _reviewed(self, request: Request, reviews: Reviews, shown: str) -> "Caller":
        # Each asks the API server: who only tries tokens may not ask often.
        if not self._budget.take(request.client.host if request.client else ""):
            raise Refusal(
                429, "too_many_requests", "too many requests from this address", "wait", retry_after_s=1
            )
        user = await reviews.user_of(shown)
        if user is None:
            raise Refusal(401, "unauthorized", "the cluster does not know this token", "send a valid one")
        return Caller(str(user.get("username", "")), lambda verb, node: reviews.allows(user, verb, node))


class Caller:
    """Who calls, and what they may."""

    def __init__(self, name: str, allows: Callable[[str, str], Awaitable[bool]] | None = None) -> None:
        self.name = name
        self._allows = allows

    async def require(self, verb: Verb, node: str = "") -> None:
        """Raises Refusal 403 naming the right that is missing."""
        if self._allows is not None and not await self._allows(verb, node):
            where = f" for node {node}" if node else ""
            what = f"{self.name} may not {verb} {RESOURCE}.{GROUP}{where}"
            hint = f"a ClusterRole with verb {verb} on {RESOURCE} of {GROUP}; resourceNames are nodes"
            raise Refusal(403, "forbidden", what, hint)


def _shown(request: Request) -> str:
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return (request.headers.get("x-offbus-token") or (bearer if scheme.lower() == "bearer" else "")).strip()
