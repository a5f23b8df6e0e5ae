"""Cleans up after an environment that failed to open: nothing else will close it later.

Bounded, and shielded from the cancellation that ended the opening. What is not proven to have ended is reported as
residue, whatever the reason.
"""

from collections.abc import Awaitable, Callable

import anyio

from offbus.environment import Leftover
from offbus.errors import OffbusError

__all__ = ["CLEAN_UP_S", "leftover_after"]

CLEAN_UP_S = 60.0
"""How long the cleanup may take."""


async def leftover_after(end: Callable[[], Awaitable[None]], item: str, run: str) -> list[Leftover]:
    """Call `end`, and return what of `item` may remain."""
    why = f"it was not ended within {CLEAN_UP_S:g} s"
    with anyio.move_on_after(CLEAN_UP_S, shield=True):
        try:
            await end()
        except Exception as err:  # noqa: BLE001  whatever the reason: it may remain
            why = str(err) if isinstance(err, OffbusError) else f"{type(err).__name__}: {err}"
        else:
            return []
    return [Leftover(item, f"it did not open, and may not have ended: {why}", f"offbus recover {run}")]
