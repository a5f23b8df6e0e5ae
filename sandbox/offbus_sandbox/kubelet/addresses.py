"""Pod addresses: each pod gets its own in 127.0.0.0/8, so that ports never clash.

Linux serves the whole network without any configuration. Sandboxes on one machine must not share addresses, so each
claims one /16 of it for its lifetime, by listening on an address in it that no pod gets. Any user of the machine can do
the same: one who listens on them all keeps sandboxes from starting, and is named by `ss`.
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
        """Claim a network, the previous one if it is free. Raises CouldNotRun when all are in use."""
        self._database = store.database
        wanted = self._database.counter("network")
        for octet in [wanted, *SECOND_OCTETS] if wanted in SECOND_OCTETS else SECOND_OCTETS:
            claimed = socket.socket()
            try:
                claimed.bind((f"127.{octet}.255.254", CLAIM_PORT))
                claimed.listen(1)
            except OSError as err:
                claimed.close()
                if err.errno != errno.EADDRINUSE:
                    raise CouldNotRun(f"cannot assign pod addresses in 127.0.0.0/8: {err}") from err
            else:
                self._claim, self.octet = claimed, octet
                self._database.set_counter("network", octet)
                return
        first, last = SECOND_OCTETS[0], SECOND_OCTETS[-1]
        raise CouldNotRun(
            f"all {len(SECOND_OCTETS)} pod networks, 127.{first}.0.0/16 to 127.{last}.0.0/16, are in use: "
            f"something listens on port {CLAIM_PORT} of each",
            hint="end sandboxes with `offbus local down`; "
            f"`ss -ltnp 'sport = :{CLAIM_PORT}'` names others (as root, also other users')",
        )

    def next(self) -> str:
        """The next address; one is reused only after all others."""
        count = self._database.counter("addresses") + 1
        self._database.set_counter("addresses", count)
        number = count % PER_NETWORK
        return f"127.{self.octet}.{number // 254}.{number % 254 + 1}"

    def close(self) -> None:
        """Release the network."""
        self._claim.close()
