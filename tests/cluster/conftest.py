"""One cluster for all tests that want one; tests that make and remove their own come first."""

import os
import shutil
from collections.abc import Iterator

import pytest
from cluster_client import Cluster
from kit import lifecycle
from kit.machine import missing_packages
from kit.place import Place, locked
from kit.world import difference, snapshot


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine has room for one cluster: who needs to begin without one runs before it is there."""
    items.sort(key=lambda item: item.get_closest_marker("own_cluster") is None)


@pytest.fixture(scope="session")
def place() -> Place:
    """Where the cluster is; the tests are of no use without root and `go`."""
    if os.geteuid() != 0 or not shutil.which("go"):
        pytest.fail("the cluster's tests need root and Go; `make test` leaves them out")
    return Place.default()


@pytest.fixture(scope="session")
def cluster(place: Place) -> Iterator[Cluster]:
    """A running cluster: the one that is there, which stays, or one made for the tests and removed after them."""
    with locked(place):
        there = lifecycle.running(place)
        before = None if there or missing_packages() else snapshot()
        lifecycle.up(place, print)
    yield Cluster(place)
    if not there:
        with locked(place):
            lifecycle.down(place, print)
        assert before is None or difference(before, snapshot()) == []
