"""The token that every write needs, and the one for reads that is made from it.

Reads go to pods that are known by name, and a name may be another's by now; so what goes with them is of no use for a
write: whoever has the token can make it, and from it nobody can make the token (HMAC, RFC 2104).

Job: read it from a file that only its owner (and group) can read, and compare in constant time. The file is read for
each comparison, so that a rotated secret takes effect at once. It may have several tokens, one a line, which are
admitted alike: while one is replaced, both are there, and nobody is refused on the way. A file that cannot be used
raises `TokenError`: the agent never runs without one, and the token itself is in no message.
"""

import hmac
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TokenError", "TokenFile", "reading"]

_LONGEST = 4096
"""Bytes of the file. A longer one is refused: cut, it would admit the beginning of a token."""


class TokenError(Exception):
    """Raised when the token file cannot be read, is empty, or is world-readable."""


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The tokens of one file."""

    path: Path

    def read(self) -> tuple[bytes, ...]:
        """The tokens: one a line, the one in use first. Raises TokenError."""
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(self.path.stat().st_mode)
                content = file.read(_LONGEST + 1)
        except OSError as err:
            raise TokenError(f"cannot read the token file {self.path}: {err.strerror}") from err
        if mode & stat.S_IROTH:
            raise TokenError(f"the token file {self.path} is world-readable: run `chmod 0600 {self.path}`")
        if len(content) > _LONGEST:
            what = f"the token file {self.path} is longer than {_LONGEST} bytes"
            raise TokenError(f"{what}: leave only the tokens in it that are in use")
        tokens = tuple(line.strip() for line in content.splitlines() if line.strip())
        if not tokens:
            raise TokenError(f"the token file {self.path} is empty")
        return tokens

    def admits(self, headers: Mapping[str, str], *, reads: bool = False) -> bool:
        """Whether `X-Offbus-Token` or `Authorization: Bearer` has the token; of a read, or that for reads.

        Raises TokenError.
        """
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = headers.get("x-offbus-token") or (bearer if scheme.lower() == "bearer" else "")
        tokens, shown = self.read(), given.strip().encode()
        known = [*tokens, *(reading(token).encode() for token in tokens if reads)]
        matches = [hmac.compare_digest(shown, token) for token in known]  # all of them: in constant time
        return any(matches)


def reading(token: str | bytes) -> str:
    """The token for reads: 64 hexadecimal digits."""
    key = token.encode() if isinstance(token, str) else token
    return hmac.new(key, b"offbus agent: read", "sha256").hexdigest()
