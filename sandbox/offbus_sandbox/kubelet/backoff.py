"""CrashLoopBackOff: how long a container waits before its next start. Pure: times are passed in.

As the kubelet does it: the first failure restarts at once and opens the window; a failure inside it waits for the
rest of the window, which then doubles; a container that ran long enough starts afresh.
"""

from dataclasses import dataclass, field

from offbus_sandbox.config import Backoff

__all__ = ["CrashLoop"]


@dataclass(slots=True)
class CrashLoop:
    """The back-off of one container."""

    policy: Backoff
    _window: float = field(default=0.0, init=False)

    def delay(self, ran_s: float) -> float:
        """Seconds to wait before the restart of a container that ran for `ran_s`; advances the back-off."""
        if ran_s >= self.policy.forget_after_s:
            self._window = 0.0
        wait = self._window
        grown = wait * self.policy.factor if wait else self.policy.base_s
        self._window = min(grown, self.policy.cap_s)
        return wait
