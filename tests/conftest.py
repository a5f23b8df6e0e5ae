"""For all tests: no example of a property test is failed for the machine being busy, and SIGINT is heard.

A shell has what it starts in the background ignore SIGINT, and so do its children. Programs of ours heed that (`nohup`
and `&` mean it); those that tests interrupt must not.
"""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("offbus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("offbus")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
