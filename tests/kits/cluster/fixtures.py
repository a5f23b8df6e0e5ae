"""The cluster that tests share: the one that runs, or one made for them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.kits.cluster import lifecycle
from tests.kits.cluster.client import Cluster
from tests.kits.cluster.machine import missing_packages
from tests.kits.cluster.place import Place, locked
from tests.kits.cluster.world import difference, snapshot

__all__ = ["cluster", "default_place"]


def default_place() -> Place:
    """Where the cluster is; the tests are of no use without root and `go`."""
    if os.geteuid() != 0 or not shutil.which("go"):
        pytest.fail("the cluster's tests need root and Go; `make test` leaves them out")
    return Place.default()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster: the one that is there, which stays, or one made for the tests and removed after them."""
    place = default_place()
    with locked(place):
        there = lifecycle.running(place)
        before = None if there or missing_packages() else snapshot()
        lifecycle.up(place, print)
    yield Cluster(place)
    if not there:
        with locked(place):
            lifecycle.down(place, print)
        assert before is None or difference(before, snapshot()) == []
