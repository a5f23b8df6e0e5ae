"""Asks on a terminal for what no option says; each question has a default, and a wrong answer is asked for again.

Questions go to stderr, so that stdout holds what was written. Nothing is written before the last answer: Ctrl-C and
Ctrl-D leave nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, count
from typing import TypeVar

import click

from offbus.errors import UsageError
from offbus_steps.commands.scaffold.choice import NamedChoice
from offbus_steps.commands.scaffold.drill import (
    Asked,
    environment_of,
    name_of,
    recipe_of,
    workload_named,
    xids_of,
)
from offbus_steps.commands.scaffold.recipes import (
    BACKENDS,
    DEFAULT_BACKEND,
    DEFAULT_RECIPE,
    ENVIRONMENTS,
    RECIPES,
    SEVERAL,
    xids_in,
)

__all__ = ["ask"]

Value = TypeVar("Value")


def ask(asked: Asked, taken: Callable[[str], bool]) -> Asked:
    """With the answers. `taken` tells which names of scenarios are there already: no answer is one of them.

    Raises UsageError for options that contradict each other, before anything is asked.
    """
    environment_of(asked)
    recipe = recipe_of(asked)
    if asked.recipe is None and not asked.xids:
        listed = "\n".join(f"  {one.name:18}{one.summary}" for one in RECIPES.values())
        click.echo(f"What is to be rehearsed?\n{listed}", err=True)
        recipe = _answer("recipe", DEFAULT_RECIPE, lambda text: recipe_of(Asked(recipe=text)))
    xids = xids_of(recipe, asked.xids)
    if not asked.xids:
        what = "XIDs, with commas between" if recipe.name == SEVERAL else "XID"
        shown = ", ".join(map(str, xids))
        xids = _answer(what, shown, lambda text: xids_of(recipe, xids_in(text)))
    asked = replace(asked, recipe=recipe.name, xids=xids)
    for question in (_environment, _target):
        asked = question(asked)
    if asked.name is None:
        asked = replace(asked, name=_name(recipe.stem.format(xid=xids[0]), taken))
    return asked


def _environment(asked: Asked) -> Asked:
    if asked.env is not None or environment_of(asked) != "local":
        return asked
    click.echo(
        "Where does it run? local: on this machine, without a GPU. kubernetes: on a cluster.", err=True
    )
    return replace(asked, env=_choice("environment", ENVIRONMENTS, "local"))


def _target(asked: Asked) -> Asked:
    is_open = asked.workload is None and asked.backend is None
    if is_open and asked.image is None and environment_of(asked) == "kubernetes":
        click.echo(
            "A workload that runs there already, as deployment/llm? Else a new one is created.", err=True
        )
        asked = replace(asked, workload=_answer("workload", "none", _workload))
    if is_open and asked.workload is None:
        asked = replace(asked, backend=_choice("backend", tuple(BACKENDS), DEFAULT_BACKEND))
    return asked


def _name(stem: str, taken: Callable[[str], bool]) -> str:
    def free(text: str) -> str:
        if taken(name_of(text)):
            raise UsageError(f"there is a {text}.yaml already", hint="--force would overwrite it")
        return text

    numbered = (f"{stem}-{number}" for number in count(2))
    return _answer("name", next(name for name in chain([stem], numbered) if not taken(name)), free)


def _workload(text: str) -> str | None:
    if text == "none":
        return None
    workload_named(text, "")
    return text


def _choice(what: str, names: tuple[str, ...], default: str) -> str:
    chosen: str = click.prompt(what, default=default, type=NamedChoice(names), err=True)
    return chosen


def _answer(what: str, default: str, check: Callable[[str], Value]) -> Value:
    def checked(text: str) -> Value:
        try:
            return check(text.strip())
        except UsageError as err:
            raise click.UsageError(str(err)) from err

    answer: Value = click.prompt(what, default=default, value_proc=checked, err=True)
    return answer
