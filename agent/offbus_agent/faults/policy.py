"""What this node allows: which XIDs, how many faults at once, how often, and one owner per GPU.

Job: refuse, with the reason and a hint; it changes only its own token bucket. It must not read planes or the page.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from offbus_agent.catalogue.plane import PAGE_PLANES
from offbus_agent.faults.store import StoredFault, is_live
from offbus_agent.models import FaultRequest
from offbus_agent.refusals import Refusal

__all__ = ["Policy", "TokenBucket"]


@dataclass(slots=True)
class TokenBucket:
    """`burst` at once, then `per_minute`. Times are CLOCK_BOOTTIME nanoseconds."""

    burst: int = 10
    per_minute: float = 30
    _tokens: float = field(init=False, default=0)
    _at_ns: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def take(self, now_ns: int) -> float:
        """Take a token: 0 when there was one, else the seconds until the next."""
        self._earn(now_ns)
        if self._tokens < 1:
            return (1 - self._tokens) * 60 / self.per_minute
        self._tokens -= 1
        return 0

    def is_full(self, now_ns: int) -> bool:
        """Whether none of the burst is used."""
        self._earn(now_ns)
        return self._tokens >= self.burst

    def _earn(self, now_ns: int) -> None:
        earned = (now_ns - self._at_ns) / 60e9 * self.per_minute if self._at_ns else 0
        self._tokens, self._at_ns = min(self.burst, self._tokens + earned), now_ns


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of one node. `xids` None allows the whole catalogue."""

    xids: frozenset[int] | None = None
    max_faults: int = 8
    bucket: TokenBucket = field(default_factory=TokenBucket)

    def admit(self, request: FaultRequest, others: Iterable[StoredFault], now_ns: int) -> None:
        """Raises Refusal unless the request may be armed besides `others`. Takes a token last."""
        self._xid(request.xid)
        live = [other for other in others if is_live(other) and other.fault.id != request.id]
        if len(live) >= self.max_faults:
            names = ", ".join(other.fault.id for other in live)
            raise Refusal(
                409,
                "too_many_faults",
                f"{len(live)} faults are armed here ({names}); this node's limit is {self.max_faults}",
                "disarm one, or start the agent with a higher --max-faults",
            )
        self._gpus(request, live)
        self._rate(now_ns)

    def _xid(self, xid: int) -> None:
        if self.xids is not None and xid not in self.xids:
            allowed = ", ".join(str(number) for number in sorted(self.xids))
            raise Refusal(
                403,
                "xid_not_allowed",
                f"XID {xid} is not on this node's allow-list ({allowed})",
                "start the agent with --allow-xid",
            )

    def _gpus(self, request: FaultRequest, live: Iterable[StoredFault]) -> None:
        """Two faults on one GPU's page slot would hide each other; kernel lines alone do not."""
        if not PAGE_PLANES & set(request.planes):
            return
        for other in live:
            shared = set(request.gpus) & set(other.fault.gpus)
            if shared and PAGE_PLANES & set(other.fault.planes):
                raise Refusal(
                    409,
                    "gpu_busy",
                    f"{', '.join(sorted(shared))} is held by fault {other.fault.id} of run {other.fault.run}"
                    f" (XID {other.fault.xid})",
                    "disarm that fault first, or choose another GPU",
                    fault=other.fault.id,
                )

    def _rate(self, now_ns: int) -> None:
        wait_s = self.bucket.take(now_ns)
        if wait_s > 0:
            raise Refusal(
                429,
                "rate_limited",
                f"this node allows {self.bucket.burst} injections at once, {self.bucket.per_minute:g} per minute",
                f"retry in {wait_s:.1f} s",
                retry_after_s=round(wait_s, 3),
            )
