"""The environment that a scenario runs in, its options and its guards.

A guard that the environment's model does not have cannot be enforced, hence it is refused, never ignored.
`--env` replaces the file's environment; the file's options stay only if it is the same type. What only the user may
choose (`offbus.environment.UsersChoice`) is refused in the file, unless `--env-set` replaces it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from offbus.environment import EnvironmentType, users_choices
from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position
from offbus.findings.suggest import certain, closest
from offbus.language import shape
from offbus.language.cel.templates import waits
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.pydantic_errors import Subject, keys_of, note_errors
from offbus.language.scenario import EnvironmentSpec
from offbus.language.syntax import scalars
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.plugins import ENVIRONMENTS, PluginError, Registry

__all__ = ["DEFAULT_ENVIRONMENT", "Settings", "read_settings"]

DEFAULT_ENVIRONMENT = "local"


class Settings(NamedTuple):
    """What could be read of the environment; None where there are findings."""

    environment: EnvironmentSpec | None = None
    guards: BaseModel | None = None


def read_settings(
    root: Node,
    positions: Positions,
    conditions: Conditions,
    vocabulary: Vocabulary,
    registry: Registry,
    env: str | None,
    env_sets: Mapping[str, str],
) -> Settings:
    """The environment's type, options and guards; what is wrong is noted."""
    node = root.children.get("environment")
    node = node if node is not None and node.kind == "mapping" else None
    uses = node.children.get("uses") if node is not None else None
    in_file = uses.value if uses is not None and isinstance(uses.value, str) else None
    name = env or in_file or DEFAULT_ENVIRONMENT
    where = (
        Position(f"--env {env}")
        if env
        else positions.of(uses)
        if uses is not None
        else positions.start_of(root)
    )
    found = _type(name, where, positions, registry, None if env else uses)
    if found is None:
        return Settings()
    options_node = node if name == in_file else None
    options = _options(found, options_node, positions, conditions, vocabulary, env_sets, where)
    guards = _guards(found, root, positions, conditions, vocabulary)
    return Settings(None if options is None else EnvironmentSpec(found, options), guards)


def _type(
    name: str, where: Position, positions: Positions, registry: Registry, named: Node | None
) -> EnvironmentType | None:
    names = registry.names(ENVIRONMENTS)
    if name not in names:
        hint = f"installed: {', '.join(names) or 'none'}"
        positions.note(
            Code.UNKNOWN_ENVIRONMENT,
            f"there is no environment {name!r}",
            where,
            hint=hint,
            suggestion=closest(name, names),
            fix=None if named is None else positions.renamed(named, certain(name, names)),
        )
        return None
    try:
        return registry.environment_type(name)
    except PluginError as err:
        positions.note(Code.ENVIRONMENT_NOT_LOADED, err.message, where, hint=err.hint)
        return None


def _options(
    of: EnvironmentType,
    node: Node | None,
    positions: Positions,
    conditions: Conditions,
    vocabulary: Vocabulary,
    env_sets: Mapping[str, str],
    where: Position,
) -> BaseModel | None:
    given: dict[str, Any] = {}
    before = len(positions.findings)
    if node is not None:
        data = conditions.data(node, vocabulary)
        given = {key: value for key, value in data.items() if key != "uses"}
        _check_users_choices(of, node, env_sets, positions)
    _check_env_sets(of, env_sets, positions)
    if len(positions.findings) > before or waits(
        given
    ):  # for an input without a value, which has its finding
        return None
    given |= env_sets
    try:
        return shape.apply(of.options, given)
    except ValidationError as err:
        # what the command line sets is text, unless the model wants something else: then as YAML reads it
        wrong = {error["loc"][0] for error in shape.errors_of(err) if error["loc"]}
        given |= {key: scalars.resolve_or_text(text) for key, text in env_sets.items() if key in wrong}
    try:
        return shape.apply(of.options, given)
    except ValidationError as err:
        errors = [e for e in shape.errors_of(err) if not e["loc"] or e["loc"][0] not in env_sets]
        note_errors(
            errors,
            node if node is not None else _nothing(positions),
            positions,
            Subject(f"environment {of.name}", of.options, where),
        )
        for error in shape.errors_of(err):
            if error["loc"] and error["loc"][0] in env_sets:
                key = str(error["loc"][0])
                _note_env_set(
                    Code.NOT_ALLOWED,
                    f"{key}: {error['msg'].replace('Input should', 'it must')}",
                    key,
                    env_sets,
                    positions,
                )
        return None


def _nothing(positions: Positions) -> Node:
    """Stands for a mapping that is not in the file: nothing can be found in it."""
    root = positions.source.root
    if root is None:
        raise AssertionError("a file without a root has no settings")
    return Node("mapping", root.start, root.start, {})


def _check_users_choices(
    of: EnvironmentType, node: Node, env_sets: Mapping[str, str], positions: Positions
) -> None:
    for key, mark in users_choices(of.options).items():
        if key in node.children and key not in env_sets:
            positions.note(
                Code.COMMAND_LINE_ONLY,
                f"{key} is not for a scenario to choose: {mark.why}",
                positions.key(node, key),
                hint=f"remove it; who runs the scenario chooses with --env-set {key}=…",
            )


def _check_env_sets(of: EnvironmentType, env_sets: Mapping[str, str], positions: Positions) -> None:
    known = keys_of(of.options)
    for key in env_sets:
        if key not in known:
            hint = f"options: {', '.join(known) or 'none'}"
            _note_env_set(
                Code.UNKNOWN_SETTING,
                f"environment {of.name} has no option {key!r}",
                key,
                env_sets,
                positions,
                hint,
                closest(key, known),
            )


def _note_env_set(
    code: Code,
    message: str,
    key: str,
    env_sets: Mapping[str, str],
    positions: Positions,
    hint: str | None = None,
    suggestion: str | None = None,
) -> None:
    where = Position(f"--env-set {key}={env_sets[key]}")
    positions.findings.append(
        Finding(code=code, message=message, where=where, hint=hint, suggestion=suggestion)
    )


def _guards(
    of: EnvironmentType, root: Node, positions: Positions, conditions: Conditions, vocabulary: Vocabulary
) -> BaseModel | None:
    node = root.children.get("guards")
    before = len(positions.findings)
    given = conditions.data(node, vocabulary) if node is not None and node.kind == "mapping" else {}
    if len(positions.findings) > before or waits(given):
        return None
    try:
        return shape.apply(of.guards, given)
    except ValidationError as err:
        unknown = (
            Code.GUARD_NOT_ENFORCED,
            "the guard {key!r} is unknown to environment "
            + of.name
            + ": it could not be enforced, so it is refused",
        )
        where = positions.key(root, "guards")
        subject = Subject(f"guards of environment {of.name}", of.guards, where, unknown)
        note_errors(
            shape.errors_of(err), node if node is not None else _nothing(positions), positions, subject
        )
        return None
