"""One cluster for all tests that want one; tests that make and remove their own come first."""

import pytest

from tests.kits.cluster.fixtures import cluster, default_paths
from tests.kits.cluster.paths import ClusterPaths

__all__ = ["cluster"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine has room for one cluster: who needs to begin without one runs before it is there."""
    items.sort(key=lambda item: item.get_closest_marker("own_cluster") is None)


@pytest.fixture(scope="session")
def paths() -> ClusterPaths:
    """Where the cluster is."""
    return default_paths()
