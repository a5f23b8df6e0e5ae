"""Pod networks: whoever claims them first has them, and a sandbox that finds none says who to ask."""

import socket
from contextlib import ExitStack

import pytest

from offbus.errors import CouldNotRun
from offbus_sandbox.kubelet import addresses
from offbus_sandbox.kubelet.addresses import CLAIM_PORT, Addresses
from offbus_sandbox.store.store import Store


def test_a_network_is_one_sandboxs_until_it_is_released(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "SECOND_OCTETS", range(251, 252))  # none that a sandbox takes
    first = Addresses(store)
    assert first.next() == "127.251.0.2"
    with pytest.raises(CouldNotRun):
        Addresses(store)
    first.close()
    Addresses(store).close()


def test_where_strangers_hold_them_all_the_port_and_the_way_to_their_names_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "SECOND_OCTETS", range(252, 254))
    with ExitStack() as strangers:
        for octet in (252, 253):
            strangers.enter_context(socket.create_server((f"127.{octet}.255.254", CLAIM_PORT)))
        with pytest.raises(CouldNotRun) as refused:
            Addresses(store)
    assert "all 2 pod networks, 127.252.0.0/16 to 127.253.0.0/16, are in use" in refused.value.message
    assert f"ss -ltnp 'sport = :{CLAIM_PORT}'" in str(refused.value.hint)
