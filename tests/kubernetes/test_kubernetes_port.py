"""The adapter does what every adapter of the port must do, on a real API server without nodes.

What needs pods that run (PodsConformance, TrafficConformance, AgentsConformance) is tested on the real cluster.
"""

import pytest

from offbus_steps.testing.conformance import ObjectsConformance, WatchConformance

pytestmark = pytest.mark.anyio


class TestObjects(ObjectsConformance):
    pass


class TestWatches(WatchConformance):
    pass
