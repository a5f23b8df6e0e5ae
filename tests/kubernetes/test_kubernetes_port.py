"""The adapter does what every adapter of the port must do, on a real API server without nodes.

What needs pods that run (PodsConformance, TrafficConformance, AgentsConformance) is tested on the real cluster.
"""

import pytest

from offbus_steps.testing import conformance

pytestmark = pytest.mark.anyio

TestObjects = conformance.ObjectsConformance
TestWatches = conformance.WatchConformance
TestSilence = conformance.SilenceConformance
