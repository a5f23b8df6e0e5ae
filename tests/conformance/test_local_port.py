"""`local` does what every adapter of the port must do."""

import pytest

from offbus_steps.testing.conformance import (
    AgentsConformance,
    ObjectsConformance,
    PodsConformance,
    TrafficConformance,
    WatchConformance,
)

pytestmark = pytest.mark.anyio


class TestObjects(ObjectsConformance):
    pass


class TestWatches(WatchConformance):
    pass


class TestPods(PodsConformance):
    pass


class TestTraffic(TrafficConformance):
    pass


class TestAgents(AgentsConformance):
    pass
