"""Whether the agent can do its work now, and why not: for kubelet's probe and for people.

Job: the token can be read, what changed last is on disk, the kernel-log helper answers (where the agent has one: it
proves nothing without it), and at least one plane can show a fault. What else does not work is said, too: a node whose
kernel log is broken still shows CUDA faults. Looked at once a second at most, however many ask; helper and kernel log
in a thread, because they may keep it waiting.
"""

import asyncio

from offbus_agent.agent import Agent
from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_agent.faults.collector import InThread
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.models import PlaneHealth, Ready

__all__ = ["Readiness"]

_YOUNG_S = 1.0


class Readiness:
    """The readiness of one agent."""

    def __init__(self, agent: Agent, token: TokenFile, in_thread: InThread = asyncio.to_thread) -> None:
        self._agent = agent
        self._token = token
        self._in_thread = in_thread
        self._look: asyncio.Task[Ready] | None = None
        self._looked_at = 0.0

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the answer: 200, or 503."""
        now = asyncio.get_running_loop().time()
        if self._look is None or (self._look.done() and now - self._looked_at > _YOUNG_S):
            self._looked_at = now
            self._look = asyncio.create_task(self._looked())
        found = await asyncio.shield(self._look)
        return (200 if found.ready else 503), found.model_dump_json().encode()

    async def _looked(self) -> Ready:
        # The page is this thread's alone; the kernel log is asked by whoever writes to it, in threads.
        return self.now(*await self._in_thread(self._kernel))

    def _kernel(self) -> tuple[str, PlaneHealth | None]:
        """Why the helper is away, if it is, and else the kernel log's health: one that hangs is asked once."""
        away = self._agent.helper_away()
        return away, None if away else self._agent.plane_health(Plane.KERNEL)

    def now(self, away: str, kernel: PlaneHealth | None) -> Ready:
        """The readiness, when helper and kernel log are like that."""
        cannot = [*self._of_token(), *self._of_disk(), *([away] if away else [])]
        planes = {Plane.KERNEL: kernel} if kernel else {}
        planes |= {plane: self._agent.plane_health(plane) for plane in Plane if plane in PAGE_PLANES}
        broken = [f"plane {plane.value}: {one.why}" for plane, one in planes.items() if not one.ok]
        return Ready(ready=not cannot and len(broken) < len(planes), why=[*cannot, *broken])

    def _of_token(self) -> list[str]:
        try:
            self._token.read()
        except TokenError as err:
            return [str(err)]
        return []

    def _of_disk(self) -> list[str]:
        unsaved = self._agent.book.save_failed
        return [f"the last change could not be stored: {unsaved}"] if unsaved else []
