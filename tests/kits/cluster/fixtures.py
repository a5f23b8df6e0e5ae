"""The cluster that tests share: the one that runs, or one made for them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.kits.cluster import lifecycle
from tests.kits.cluster.client import Cluster
from tests.kits.cluster.machine import missing_packages
from tests.kits.cluster.paths import ClusterPaths, locked
from tests.kits.cluster.world import difference, snapshot

__all__ = ["cluster", "default_paths"]


def default_paths() -> ClusterPaths:
    """Where the cluster is; the tests are of no use without root and `go`."""
    if os.geteuid() != 0 or not shutil.which("go"):
        pytest.fail("the cluster's tests need root and Go; `make test` leaves them out")
    return ClusterPaths.default()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster: the one that is there, which stays, or one made for the tests and removed after them."""
    paths = default_paths()
    with locked(paths):
        there = lifecycle.running(paths)
        before = None if there or missing_packages() else snapshot()
        lifecycle.up(paths, print)
    yield Cluster(paths)
    if not there:
        with locked(paths):
            lifecycle.down(paths, print)
        assert before is None or difference(before, snapshot()) == []
