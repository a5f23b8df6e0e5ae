"""For all tests: no example of a property test is failed for the machine being busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("offbus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("offbus")
