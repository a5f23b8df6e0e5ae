"""Programs that nobody here wrote, from their packages (tests.kits.programs_of_others)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kits.programs_of_others import python_of

Client = Callable[..., Path]


@pytest.fixture(scope="session")
def client() -> Client:
    """Answers the Python of an environment that has the packages, made when it is not there yet."""
    return python_of
