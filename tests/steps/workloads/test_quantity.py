"""Quantities: as Kubernetes' resource.Quantity parses them, and nothing that it would refuse."""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.workloads.quantity import quantity, share, whole

DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
NANO = Fraction(1, 10**9)

numbers = st.decimals(min_value=Decimal("-1e9"), max_value=Decimal("1e9"), places=6)


@pytest.mark.parametrize(
    ("value", "means"),
    [
        (None, 0),
        (0, 0),
        (8, 8),
        (1.0, 1),
        (0.5, Fraction(1, 2)),
        ("8", 8),
        ("1.0", 1),
        ("1.", 1),
        (".5", Fraction(1, 2)),
        ("+2", 2),
        ("-2", -2),
        ("1000m", 1),
        ("1500m", Fraction(3, 2)),
        ("1k", 1000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e3", 1000),
        ("12e-1", Fraction(12, 10)),
        ("1e+2", 100),
        ("1.5Gi", 3 << 29),
        ("0.1n", NANO),
        ("-0.1n", -NANO),
    ],
)
def test_amounts_mean_what_kubernetes_makes_of_them(value: Any, means: Fraction) -> None:
    assert quantity(value) == means


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 1",
        "1 ",
        "one",
        "1K",
        "1ki",
        "1mm",
        "1.2.3",
        "1e",
        "1e1.5",
        "0x10",
        "1_000",
        "١",
        True,
        [],
        {},
        float("nan"),
        float("inf"),
        "1e999999999",
        "9" * 5000,
        10**5000,
    ],
    ids=lambda one: f"{one:.20}" if isinstance(one, str) else type(one).__name__,
)
def test_what_kubernetes_refuses_is_refused_in_words(value: Any) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(value)


@given(numbers, st.sampled_from([*DECIMAL.items()]))
def test_a_decimal_suffix_is_a_power_of_ten(number: Decimal, suffix: tuple[str, int]) -> None:
    exact = Fraction(number) * Fraction(10) ** suffix[1]
    assert quantity(f"{number:f}{suffix[0]}") == rounded(exact)


@given(numbers, st.sampled_from([*BINARY.items()]))
def test_a_binary_suffix_is_a_power_of_two(number: Decimal, suffix: tuple[str, int]) -> None:
    assert quantity(f"{number:f}{suffix[0]}") == rounded(Fraction(number) * 2 ** suffix[1])


@given(numbers, st.integers(-12, 12), st.sampled_from("eE"))
def test_an_exponent_is_a_power_of_ten(number: Decimal, power: int, letter: str) -> None:
    assert quantity(f"{number:f}{letter}{power}") == rounded(Fraction(number) * Fraction(10) ** power)


def rounded(exact: Fraction) -> Fraction:
    """Away from zero, to whole billionths."""
    size = ceil(abs(exact) / NANO) * NANO
    return size if exact >= 0 else -size


@given(st.text(max_size=12) | st.floats() | st.integers() | st.booleans() | st.lists(st.none()))
def test_any_value_is_an_amount_or_one_clear_error(value: Any) -> None:
    try:
        found = quantity(value)
    except ValueError as err:
        said = str(err)
    else:
        assert found.denominator <= 10**9
        return
    assert "not a quantity" in said


def test_whole_amounts_are_whole() -> None:
    assert [whole(one) for one in (None, 1, "1.0", "1000m", "2k")] == [0, 1, 1, 1, 2000]
    for one in ("1500m", 0.5, "0.1", -1):
        with pytest.raises(ValueError, match="not a whole number"):
            whole(one)


@pytest.mark.parametrize(
    ("value", "of", "down", "up"),
    [
        (2, 8, 2, 2),
        ("2", 8, 2, 2),
        ("25%", 8, 2, 2),
        ("25%", 3, 0, 1),
        (None, 5, 1, 2),
        ("0%", 9, 0, 0),
        ("100%", 7, 7, 7),
    ],
)
def test_a_share_is_a_number_or_a_rounded_percentage(value: object, of: int, down: int, up: int) -> None:
    assert (share(value, of), share(value, of, up=True)) == (down, up)
