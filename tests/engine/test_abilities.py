"""What an environment can do besides what each has to is asked in one way, also of one that stands around another."""

import ast
from dataclasses import dataclass

import pytest

from offbus import abilities
from offbus.abilities import HoldsLeases, OwnsRun, SaysWhere, ability
from tests.kits import REPOSITORY

PROTOCOLS = {
    *(name for name in abilities.__all__ if isinstance(getattr(abilities, name), type)),
    *("RunsPreflight", "Observable"),
} - {"UnfinishedRun"}


class Plain:
    """It can do nothing besides."""


class Holding:
    """It holds leases."""

    async def may_change(self) -> None:
        """They hold."""


class HoldingAndOwned(Holding):
    """Its run has an owner, too."""

    async def may_undo(self) -> None:
        """It is ours."""


@dataclass
class Around:
    """It stands around another one and can do nothing itself."""

    wrapped: object


@dataclass
class HoldingAround(Holding):
    """It holds leases of its own."""

    wrapped: object


def test_who_has_an_ability_is_asked_for_it() -> None:
    holding = HoldingAndOwned()
    assert ability(holding, HoldsLeases) is holding
    assert ability(holding, OwnsRun) is holding
    assert ability(holding, SaysWhere) is None
    assert ability(Plain(), HoldsLeases) is None


def test_what_a_wrapper_cannot_do_is_asked_of_the_one_inside() -> None:
    inside = HoldingAndOwned()
    assert ability(Around(Around(inside)), OwnsRun) is inside
    assert ability(Around(inside), HoldingAndOwned) is inside
    assert ability(Around(Plain()), OwnsRun) is None


def test_what_a_wrapper_can_do_itself_is_asked_of_it() -> None:
    wrapper = HoldingAround(HoldingAndOwned())
    assert ability(wrapper, HoldsLeases) is wrapper
    assert ability(wrapper, OwnsRun) is wrapper.wrapped


def test_nobody_asks_in_another_way() -> None:
    """By the syntax: `isinstance(…, HoldsLeases)` is found wherever it stands."""
    found = []
    for folder in ("engine", "steps", "sandbox"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                    "isinstance",
                    "issubclass",
                ):
                    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                    found += [f"{path}:{node.lineno}"] * bool(names & PROTOCOLS)
    assert found == [f"{REPOSITORY}/engine/offbus/abilities.py:{line}" for line in lines_of_the_question()]


def lines_of_the_question() -> list[int]:
    """Where `ability` looks for what stands around another one."""
    text = (REPOSITORY / "engine" / "offbus" / "abilities.py").read_text(encoding="utf-8")
    return [n for n, line in enumerate(text.splitlines(), start=1) if "isinstance(of, Wraps)" in line]


@pytest.mark.parametrize("name", sorted(PROTOCOLS & set(abilities.__all__)))
def test_every_ability_can_be_asked_for(name: str) -> None:
    assert ability(Plain(), getattr(abilities, name)) is None
