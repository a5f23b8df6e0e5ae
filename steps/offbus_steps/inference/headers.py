"""HTTP headers that a scenario has sent with its requests, secrets among them.

A header's name begins with `x-` or is `api-key`. No other is sent: the API server's proxy, through which requests go in
a cluster, has a meaning for many (`Authorization` is the runner's own there and is never passed on, `Impersonate-User`
would change who asks, `X-Remote-User` who is trusted: kubernetes.io/docs/reference/access-authn-authz/authentication).
"""

import re
from collections.abc import Mapping

from offbus.errors import StepError
from offbus.secret import Secret
from offbus.step import Context

__all__ = ["HeaderValue", "allowed", "sent"]

HeaderValue = str | Secret
_NAME = re.compile(r"(?i)x-[a-z0-9-]{1,62}|api-key")
_TAKEN = re.compile(r"(?i)x-(remote|forwarded|real)-.*|x-offbus-.*")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?")
"""Spaces around a value are none of it (RFC 9110, 5.5): clients refuse to send them, or nobody gets them."""


def allowed(headers: Mapping[str, HeaderValue]) -> Mapping[str, HeaderValue]:
    """The headers, if all may be sent. Raises ValueError."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _TAKEN.fullmatch(name):
            raise ValueError(
                f"header {name!r}: its name must begin with x- (not x-remote-, x-forwarded-) or be api-key"
            )
        if isinstance(value, str) and not _VALUE.fullmatch(value):
            raise ValueError(
                f"header {name!r}: its value must be printable ASCII on one line, without a space at either end"
            )
    return headers


async def sent(ctx: Context, headers: Mapping[str, HeaderValue]) -> Mapping[str, str]:
    """The headers with the values of secrets. Raises StepError."""
    found = {name: await ctx.secret(one) if isinstance(one, Secret) else one for name, one in headers.items()}
    for name, value in found.items():
        if not _VALUE.fullmatch(value):
            raise StepError(
                f"header {name!r}: its value must be printable ASCII on one line, without a space at either end"
            )
    return found
