"""For all tests: no example of a property test is failed for the machine being busy, and SIGINT is heard.

A shell has what it starts in the background ignore SIGINT, and so do its children. Programs of ours heed that (`nohup`
and `&` mean it); those that tests interrupt must not.
"""

import signal

import pytest
from hypothesis import HealthCheck, settings

for kit in ("tests.kits", "offbus_steps.testing.conformance"):
    pytest.register_assert_rewrite(kit)  # before anything imports them: their failures are read, too
settings.register_profile("offbus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("offbus")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
