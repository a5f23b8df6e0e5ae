"""The conformance suite of the environment port: what every adapter must do, tested against a real environment.

Import the classes into a test module and give it these fixtures; pytest collects them there.

    port         an open `offbus_steps.port.Port`
    namespace    the name of a namespace that nothing else uses
    node         the name of a node that has an agent and runs pods
    server_pod   `server_pod(name, ready=True)` -> a Pod manifest, without namespace: an HTTP server on port 8080 that
                 answers `GET /` with two lines or more, and logs each request; with `ready=False` its
                 readiness probe never succeeds
    old_version  a resource version that is too old to be watched from
    silence      for SilenceConformance, a function without arguments: from its call on nothing comes through the
                 watches that are open, and nobody closes them; the adapter's bound is some seconds in such a test

The tests are coroutines: mark the module with `pytest.mark.anyio`. In `conftest.py`, before the import, call
`pytest.register_assert_rewrite("offbus_steps.testing.conformance")` for readable failures.
"""

from offbus_steps.testing.conformance.agents import AgentsConformance
from offbus_steps.testing.conformance.objects import ObjectsConformance
from offbus_steps.testing.conformance.pods import PodsConformance
from offbus_steps.testing.conformance.traffic import TrafficConformance
from offbus_steps.testing.conformance.watches import SilenceConformance, WatchConformance

__all__ = [
    "AgentsConformance",
    "ObjectsConformance",
    "PodsConformance",
    "SilenceConformance",
    "TrafficConformance",
    "WatchConformance",
]
