"""docs/guarantees.md: every guarantee names its tests, and they exist."""

import re

import pytest

from tests.kits import REPOSITORY
from tests.kits.project.named_tests import TESTS

TEXT = (REPOSITORY / "docs" / "guarantees.md").read_text(encoding="utf-8")
PARTS = re.split(r"^\*\*G(\d+)\. ", TEXT, flags=re.MULTILINE)
GUARANTEES = dict(zip(map(int, PARTS[1::2]), PARTS[2::2], strict=True))


def test_they_are_numbered_without_a_gap() -> None:
    assert list(GUARANTEES) == list(range(1, len(GUARANTEES) + 1))
    assert len(GUARANTEES) > 10


@pytest.mark.parametrize("number", GUARANTEES, ids=lambda number: f"G{number}")
def test_a_guarantee_names_tests_that_exist(number: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", GUARANTEES[number]))
    assert named, "no test shows it"
    assert named <= TESTS, f"these do not exist: {sorted(named - TESTS)}"


def test_what_is_not_guaranteed_is_said() -> None:
    assert "## What is not guaranteed" in TEXT
