"""docs/guarantees.md: every guarantee has a number, and lists the tests that are marked with it."""

import re

from tests.kits import REPOSITORY

TEXT = (REPOSITORY / "docs" / "guarantees.md").read_text(encoding="utf-8")
NUMBERS = [int(number) for number in re.findall(r"^\*\*G(\d+)\. ", TEXT, flags=re.MULTILINE)]


def test_they_are_numbered_without_a_gap() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS
    assert len(NUMBERS) > 10


def test_each_has_its_list_of_tests() -> None:
    """That the lists are those of the markers, `docs/generate.py --check` says (test_docs.py)."""
    listed = re.findall(r"^<!-- generated: tests of G(\d+) -->$", TEXT, flags=re.MULTILINE)
    assert [int(number) for number in listed] == NUMBERS


def test_no_test_is_named_by_hand() -> None:
    by_hand = re.sub(r"<!-- generated: (.*?)<!-- end -->", "", TEXT, flags=re.DOTALL)
    assert re.findall(r"`test_\w+`", by_hand) == []


def test_what_is_not_guaranteed_is_said() -> None:
    assert "## What is not guaranteed" in TEXT
