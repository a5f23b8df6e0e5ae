"""Ends what an environment had begun before it could be opened: nobody will close it later.

Bounded, and shielded from whatever ended the opening. What is not proven to have ended is told as residue, whatever
kept it from ending.
"""

from collections.abc import Awaitable, Callable

import anyio

from offbus.environment import Leftover
from offbus.errors import OffbusError

__all__ = ["CLEAN_UP_S", "leftover_after"]

CLEAN_UP_S = 60.0
"""How long that may take."""


async def leftover_after(end: Callable[[], Awaitable[None]], item: str, run: str) -> list[Leftover]:
    """What may be left of `item` once it was ended by `end`."""
    why = f"it was not ended within {CLEAN_UP_S:g} s"
    with anyio.move_on_after(CLEAN_UP_S, shield=True):
        try:
            await end()
        except Exception as err:  # noqa: BLE001  whatever kept it from ending: it may be left
            why = str(err) if isinstance(err, OffbusError) else f"{type(err).__name__}: {err}"
        else:
            return []
    return [Leftover(item, f"it did not open, and may not have ended: {why}", f"offbus recover {run}")]
