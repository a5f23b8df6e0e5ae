"""The token that every write needs.

Job: read it from a file that only its owner (and group) can read, and compare in constant time. The file is read for
each comparison, so that a rotated secret takes effect at once. A file that cannot be used raises `TokenError`: the
agent never runs without one, and the token itself is in no message.
"""

import hmac
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TokenError", "TokenFile"]

_LONGEST = 4096


class TokenError(Exception):
    """Raised when the token file cannot be read, is empty, or is world-readable."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The token of one file."""

    path: Path

    def read(self) -> bytes:
        """The token. Raises TokenError."""
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(self.path.stat().st_mode)
                token = file.read(_LONGEST).strip()
        except OSError as err:
            raise TokenError(f"cannot read the token file {self.path}: {err.strerror}") from err
        if mode & stat.S_IROTH:
            raise TokenError(f"the token file {self.path} is world-readable: run `chmod 0600 {self.path}`")
        if not token:
            raise TokenError(f"the token file {self.path} is empty")
        return token

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether `X-Offbus-Token` or `Authorization: Bearer` has the token. Raises TokenError."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = headers.get("x-offbus-token") or (bearer if scheme.lower() == "bearer" else "")
        return hmac.compare_digest(given.strip().encode(), self.read())
