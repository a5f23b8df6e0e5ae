"""Addresses for pods: each gets one of its own in 127.0.0.0/8, so that pods' ports never clash.

Linux answers on the whole network without any configuration. Sandboxes on one machine must not share addresses, so
each holds one /16 of it for its lifetime, by listening on an address in it that no pod gets.
"""

import errno
import socket

from offbus.errors import CouldNotRun
from offbus_sandbox.store.store import Store

__all__ = ["Addresses"]

SECOND_OCTETS = range(20, 250)
CLAIM_PORT = 30999
PER_NETWORK = 250 * 254


class Addresses:
    """The claimed network and the next address in it."""

    def __init__(self, store: Store) -> None:
        """Claim a network, the same as before if it is free. Raises CouldNotRun when all are taken."""
        self._store = store
        self._claim, self.octet = claim(store.database.counter("network"))
        store.database.set_counter("network", self.octet)

    def next(self) -> str:
        """A fresh address; one is not given out again before all others were."""
        number = self._store.next_number("addresses") % PER_NETWORK
        return f"127.{self.octet}.{number // 254}.{number % 254 + 1}"

    def close(self) -> None:
        """Give the network back."""
        self._claim.close()


def claim(wanted: int) -> tuple[socket.socket, int]:
    """A listening socket that marks a network as ours."""
    candidates = [wanted, *SECOND_OCTETS] if wanted in SECOND_OCTETS else list(SECOND_OCTETS)
    for octet in candidates:
        claimed = socket.socket()
        try:
            claimed.bind((f"127.{octet}.255.254", CLAIM_PORT))
            claimed.listen(1)
        except OSError as err:
            claimed.close()
            if err.errno != errno.EADDRINUSE:
                raise CouldNotRun(f"pods cannot get addresses in 127.0.0.0/8: {err}") from err
        else:
            return claimed, octet
    raise CouldNotRun(
        "all networks for pods are taken by other sandboxes", hint="end some: offbus local down"
    )
