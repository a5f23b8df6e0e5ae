"""How many requests may be made without the node's token: by peer address, and of all addresses together.

Job: say whether one more is served. Whoever shows the token is not counted. Who asks now and then is served also while
others use up what there is for all. A peer on a Unix socket is this machine's user. kubelet's probe asks READY, which
is not counted either: any user of the node has the kubelet's address, and would keep the agent from being ready.
"""

from offbus_agent.faults.policy import TokenBucket
from offbus_agent.lease_time import boottime_ns

__all__ = ["READY", "Budget"]

READY = "/readyz"
"""What kubelet's probe asks (deploy/base/agent.yaml)."""

_OWN = 20, 120.0
"""At once, and per minute, of one address."""
_ALL = 60, 1200.0
"""Of all: at some milliseconds each, a tenth of a processor."""
_REMEMBERED = 1024


class Budget:
    """The requests of strangers to one server."""

    def __init__(self) -> None:
        self._all = TokenBucket(*_ALL)
        self._by_peer: dict[str, TokenBucket] = {}
        """Those that asked last are last."""

    def take(self, peer: str) -> bool:
        """Count one request of this address; whether it is served."""
        if not peer:
            return True
        now = boottime_ns()
        own = self._by_peer.pop(peer, None) or TokenBucket(*_OWN)
        self._by_peer[peer] = own
        if len(self._by_peer) > _REMEMBERED:
            self._by_peer.pop(next(iter(self._by_peer)))
        quiet = own.is_full(now)
        return own.take(now) == 0 and (self._all.take(now) == 0 or quiet)
