"""From what was asked for to the drill that is written, or a UsageError that says what is allowed and what is near.

What no option says has a default that follows from the others: several XIDs ask for the recipe `matrix`, a workload of
somebody's for a cluster. Options that contradict each other are refused, never one of them ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from offbus.environment import users_choices
from offbus.errors import UsageError
from offbus.findings.suggest import did_you_mean
from offbus.language.check.cli_environment import named_options
from offbus.language.format import LONGEST_NAME, NAME
from offbus.plugins import installed
from offbus_steps.commands.scaffold.existing import Existing, look_at
from offbus_steps.commands.scaffold.recipes import (
    BACKENDS,
    DEFAULT_BACKEND,
    DEFAULT_RECIPE,
    FROM_KINDS,
    RECIPES,
    SEVERAL,
    Recipe,
)
from offbus_steps.inject.xid_function import XidFacts, xid
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.object_names import NAME as OBJECT_NAME
from offbus_steps.object_names import NAMESPACE
from offbus_steps.port import Ref

__all__ = [
    "NEW_NAMESPACE",
    "Asked",
    "Drill",
    "NewTarget",
    "drill_of",
    "environment_of",
    "name_of",
    "namespace_of",
    "recipe_of",
    "workload_named",
    "xids_of",
]

NEW_NAMESPACE = "drill-demo"
REPLICAS = 2
"""Of the manifests in templates/targets."""
_OTHERS = (48, 43, 79, 94)
"""XIDs of the published guides: two that each recipe suits."""
IMAGE = re.compile(r"[A-Za-z0-9][\w./:@-]{0,511}", re.ASCII)
"""A host, a path, a tag and a digest, loosely: the registry has the last word (distribution/reference)."""
Value = TypeVar("Value")
_LETTERS = "use up to 63 lower-case letters, digits and '-'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What options and answers say; None, or nothing, where they do not."""

    recipe: str | None = None
    xids: tuple[int, ...] = ()
    name: str | None = None
    env: str | None = None
    env_sets: Mapping[str, str] = field(default_factory=dict)
    """Options of the environment."""
    workload: str | None = None
    """KIND/NAME of a workload that is there already."""
    namespace: str | None = None
    port: int | None = None
    backend: str | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target that a run creates from a manifest."""

    backend: str
    image: str
    namespace: str
    replicas: int = REPLICAS


@dataclass(frozen=True, slots=True)
class Drill:
    """What is written."""

    name: str
    recipe: Recipe
    xids: Sequence[int]
    titles: Mapping[int, str]
    """What the catalogue calls each."""
    other: int
    """Another XID that the recipe suits."""
    env: str
    options: Mapping[str, Any]
    """Of the environment, as the scenario has them."""
    flags: Mapping[str, str]
    """Those that only the command line may set."""
    target: NewTarget | Existing


def drill_of(asked: Asked) -> Drill:
    """Raises UsageError; with a workload that is there already, it is looked at: CouldNotRun, PortError."""
    recipe = recipe_of(asked)
    xids = xids_of(recipe, asked.xids)
    name = name_of(asked.name or recipe.stem.format(xid=xids[0]))
    env = environment_of(asked)
    kind, options = named_options(env, asked.env_sets, installed())
    target: NewTarget | Existing = (
        _new_target(asked)
        if asked.workload is None
        else look_at(kind, options, workload_named(asked.workload, namespace_of(asked, options)), asked.port)
    )
    users = users_choices(kind.options)
    given = options.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Drill(
        name=name,
        recipe=recipe,
        xids=xids,
        titles={number: _facts(number).title for number in xids},
        other=next(one for one in _OTHERS if one != xids[0] and _suits(recipe, _facts(one))),
        env=env,
        options={key: value for key, value in given.items() if key not in users},
        flags={key: text for key, text in asked.env_sets.items() if key in users},
        target=target,
    )


def recipe_of(asked: Asked) -> Recipe:
    """The one that is asked for, else the first that suits the XIDs. Raises UsageError."""
    if asked.recipe is not None:
        hint = did_you_mean(asked.recipe, RECIPES, f"there are {', '.join(RECIPES)}")
        return _one_of(RECIPES, asked.recipe, f"there is no recipe {asked.recipe!r}", hint)
    if len(asked.xids) > 1:
        return RECIPES[SEVERAL]
    if not asked.xids:
        return RECIPES[DEFAULT_RECIPE]
    facts = _facts(asked.xids[0])
    return next(one for one in RECIPES.values() if one.name != SEVERAL and _suits(one, facts))


def xids_of(recipe: Recipe, given: Sequence[int]) -> tuple[int, ...]:
    """Those that are given, each once, or the recipe's own. Raises UsageError for one that the recipe cannot play."""
    numbers = tuple(dict.fromkeys(given)) or recipe.xids
    if len(numbers) > 1 and recipe.name != SEVERAL:
        hint = f"--recipe {SEVERAL} plays several"
        raise UsageError(f"recipe {recipe.name} plays one XID, not {_list(numbers)}", hint=hint)
    if wrong := [number for number in numbers if not _suits(recipe, _facts(number))]:
        others = [one.name for one in RECIPES.values() if _suits(one, _facts(wrong[0]))]
        raise UsageError(
            f"recipe {recipe.name} is for {recipe.suits}, not for XID {_list(wrong)}",
            hint=f"for XID {wrong[0]} there is --recipe {' or '.join(others)}; docs/reference/xids.md has all XIDs",
        )
    return numbers


def name_of(text: str) -> str:
    """The name of a scenario, and of its file. Raises UsageError."""
    if re.fullmatch(NAME, text) is None or len(text) > LONGEST_NAME:
        hint = f"use up to {LONGEST_NAME} lower-case letters, digits, '.', '_' and '-'; begin with a letter or a digit"
        raise UsageError(f"{text[:80]!r} cannot be the name of a scenario", hint=hint)
    return text


def environment_of(asked: Asked) -> str:
    """The environment. Raises UsageError for options that have no meaning there."""
    on_cluster = asked.image is not None or "context" in asked.env_sets
    env = asked.env or ("kubernetes" if on_cluster or asked.workload is not None else "local")
    if env == "local" and on_cluster:
        what = "--context names a cluster" if asked.image is None else "--image is for pods of a cluster"
        raise UsageError(f"{what}, and --env is local", hint="say --env kubernetes")
    if asked.workload is not None and (asked.backend or asked.image):
        hint = "leave out --from for a new target, or --backend and --image to take it as it is"
        raise UsageError("--from takes a workload as it is: no --backend and no --image", hint=hint)
    if asked.workload is None and asked.port is not None:
        raise UsageError(
            "--port is that of a workload that --from names", hint="a new target declares its port"
        )
    return env


def namespace_of(asked: Asked, options: BaseModel) -> str:
    """The namespace of the workload that is there already: as kubectl takes it, unless it is named."""
    usual = options.login().namespace if isinstance(options, KubernetesOptions) else "default"
    return _checked_namespace(usual if asked.namespace is None else asked.namespace)


def workload_named(text: str, namespace: str) -> Ref:
    """From KIND/NAME. Raises UsageError."""
    given, slash, name = text.partition("/")
    kinds = {word: kind for kind, all_words in FROM_KINDS.items() for word in all_words}
    allowed = f"kinds are {', '.join(words[0] for words in FROM_KINDS.values())}"
    if not slash or not given or not name:
        raise UsageError(f"--from {text!r} is not KIND/NAME", hint=f"such as deployment/llm; {allowed}")
    hint = did_you_mean(given.lower(), kinds, allowed)
    kind = _one_of(kinds, given.lower(), f"--from: a {given} cannot be a target", hint)
    if OBJECT_NAME.fullmatch(name) is None:
        raise UsageError(f"--from: {name!r} cannot be the name of a {kind}", hint=_LETTERS)
    return Ref(kind, name, namespace)


def _new_target(asked: Asked) -> NewTarget:
    backend = asked.backend or DEFAULT_BACKEND
    image = asked.image or BACKENDS[backend].image
    if IMAGE.fullmatch(image) is None:
        raise UsageError(
            f"--image: {image[:80]!r} cannot be an image", hint="such as registry.example/vllm:1.0"
        )
    return NewTarget(backend, image, _checked_namespace(asked.namespace or NEW_NAMESPACE))


def _checked_namespace(name: str) -> str:
    if NAMESPACE.fullmatch(name) is None:
        raise UsageError(f"--namespace: {name[:80]!r} is not a namespace's name", hint=_LETTERS)
    return name


def _one_of(known: Mapping[str, Value], name: str, refused: str, hint: str) -> Value:
    if name not in known:
        raise UsageError(refused, hint=hint)
    return known[name]


def _facts(number: int) -> XidFacts:
    try:
        return xid(number)
    except ValueError as err:
        raise UsageError(str(err)) from err


def _suits(recipe: Recipe, facts: XidFacts) -> bool:
    return recipe.cordons in (None, facts.cordons) and ("cuda" in facts.planes or not recipe.in_cuda)


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
