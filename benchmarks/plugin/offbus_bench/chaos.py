"""The activity that Chaos Toolkit calls."""


def noop() -> bool:
    """Do nothing."""
    return True
