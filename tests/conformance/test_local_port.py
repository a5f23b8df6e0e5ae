"""`local` does what every adapter of the port must do."""

import pytest

from offbus_steps.testing import conformance

pytestmark = pytest.mark.anyio

TestObjects = conformance.ObjectsConformance
TestWatches = conformance.WatchConformance
TestSilence = conformance.SilenceConformance
TestPods = conformance.PodsConformance
TestTraffic = conformance.TrafficConformance
TestAgents = conformance.AgentsConformance
