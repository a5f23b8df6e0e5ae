"""A step's params: `${{ }}`, values from ancestors, the step type's model, and what some params mean.

What is known at load is validated at load. A value that waits for the run is checked by its type: a sample of that type
stands in for it in the model, and only errors that any value of the type would make are findings.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import PurePath
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from offbus.cleanup import CleanupParams
from offbus.findings.codes import Code
from offbus.language import shape
from offbus.language.cel import types
from offbus.language.cel.templates import ParamsTemplate, Template
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check import pydantic_wording
from offbus.language.check.conditions import Conditions
from offbus.language.check.graph import Graph
from offbus.language.check.omitted_params import Bindings
from offbus.language.check.parts import Files, Part
from offbus.language.check.pydantic_errors import Subject, key_of, note_errors
from offbus.language.check.referenced_files import FileChecker
from offbus.language.check.steps import RawStep
from offbus.language.syntax.node import Node
from offbus.step import Expr, FromAncestor, Params, Reads, StepType

__all__ = ["ParamsChecker"]

_SAMPLES: Mapping[str, Any] = {
    "bool": True, "int": 1, "double": 0.5, "string": "text", "duration": timedelta(seconds=1),
    "timestamp": datetime(2000, 1, 1, tzinfo=UTC), "list": [], "map": {}, "model": {}, "null": None,
}  # fmt: skip
SHOWN = 20
"""Ancestors that a step might have meant: the nearest."""
_OF_TYPE = ("_type", "int_from_float")
"""Ends of pydantic's error types that depend on a value's type alone."""


class _Marks(NamedTuple):
    """The params of a step type that are marked with `FromAncestor`, `Expr` and `Reads`, or required, by their keys."""

    from_ancestor: Mapping[str, FromAncestor]
    expressions: Mapping[str, Expr]
    files: Mapping[str, Reads]
    required: frozenset[str]


@cache
def _marks(model: type[Params]) -> _Marks:
    found = [
        (key_of(model, name), mark) for name, info in model.model_fields.items() for mark in info.metadata
    ]
    return _Marks(
        {key: mark for key, mark in found if isinstance(mark, FromAncestor)},
        {key: mark for key, mark in found if isinstance(mark, Expr)},
        {key: mark for key, mark in found if isinstance(mark, Reads)},
        frozenset(key_of(model, name) for name, info in model.model_fields.items() if info.is_required()),
    )


class ParamsChecker:
    """Checks the params of the steps of a file."""

    def __init__(
        self, part: Part, graph: Graph, conditions: Conditions, bindings: Bindings, files: Files
    ) -> None:
        """Of the steps of one file; `files` are those of the scenario that is run."""
        self._part, self._graph, self._conditions = part, graph, conditions
        self._positions, self._bindings = part.positions, bindings
        self._files = FileChecker(part.positions, conditions, files)
        self._below = PurePath(os.path.relpath(part.positions.source.path.parent, files.folder))

    def check(self, step: RawStep, step_type: StepType, vocabulary: Vocabulary) -> ParamsTemplate | None:
        """The params, or None with findings."""
        node = step.node.children.get("with")
        model, marks = step_type.params, _marks(step_type.params)
        found_before = len(self._positions.findings)
        given = self._conditions.data(node, vocabulary) if node is not None else {}
        if not isinstance(given, dict):
            return None
        if self._part.prefix:
            given = {key: self._seen(value) if key in marks.files else value for key, value in given.items()}
        bindings = tuple(
            bound
            for key, mark in marks.from_ancestor.items()
            if key not in given
            and (bound := self._bindings.find(step, key, mark, required=key in marks.required)) is not None
        )
        at = node if node is not None else step.node.children.get("uses", step.node)
        waiting = _waiting(given) if node is not None and node.templated else {}
        static = self._validate(step, step_type, given, at, waiting, tuple(marks.from_ancestor))
        for key, mark in marks.expressions.items():
            text, param = given.get(key), at.children.get(key)
            if isinstance(text, str) and text and param is not None and not param.spoiled:
                variables = {name: types.NAMED[of] for name, of in mark.variables.items()}
                self._conditions.predicate(param, text, Vocabulary(variables=variables))
        for key, reads in marks.files.items():
            if key in at.children:
                self._files.check(at.children[key], key, reads, given, vocabulary)
        if static is not None and not waiting and isinstance(static, CleanupParams):
            static = self._cleanup(step, static, at)
            given = {**given, "steps": static.steps}
        elif waiting and issubclass(model, CleanupParams):
            self._positions.note(
                Code.CLEANUP_OF_NO_ANCESTOR,
                "cleanup must name its steps: what it undoes is checked at load",
                self._positions.of(at),
            )
        if len(self._positions.findings) > found_before:
            return None
        return ParamsTemplate(model, None if waiting or bindings else static, given, bindings)

    def _validate(
        self,
        step: RawStep,
        step_type: StepType,
        given: Mapping[str, Any],
        at: Node,
        waiting: Mapping[tuple[Any, ...], types.CelType],
        from_ancestor: Sequence[str],
    ) -> Params | None:
        try:
            return shape.apply(step_type.params, _with_samples(given) if waiting else given)
        except ValidationError as err:
            errors = shape.errors_of(err)
        self._unsuitable(errors, at, waiting)
        positions = self._positions
        where = positions.value(step.node, "uses")
        subject = Subject(f"step type {step_type.name}", step_type.params, where)

        def ignore(error: ErrorDetails) -> bool:
            """Whether the error is about a sample, or about a value that an ancestor outputs."""
            loc, path = error["loc"], positions.follow(at, error["loc"])[1]
            if error["type"] in ("missing", "extra_forbidden"):
                given_above = len(loc) == 1 and loc[0] in from_ancestor
                return given_above or any(loc[: len(waits)] == waits for waits in waiting)
            through = (zip(path, waits, strict=False) for waits in waiting)  # one leads through the other
            return any(all(one == other for one, other in pairs) for pairs in through)

        note_errors(errors, at, positions, subject, ignore)
        return None

    def _unsuitable(
        self, errors: Sequence[ErrorDetails], at: Node, waiting: Mapping[tuple[Any, ...], types.CelType]
    ) -> None:
        """Note the expressions whose type no value of which could fit."""
        noted = set()
        for error in errors:
            node, path = self._positions.follow(at, error["loc"])
            kind = waiting.get(path)
            if kind is None or kind == types.DYN or path in noted or not error["type"].endswith(_OF_TYPE):
                continue
            noted.add(path)
            message = f"{path[-1]}: an expression of type {kind} does not fit: {pydantic_wording.said(error)}"
            self._positions.note(
                Code.UNSUITABLE_TYPE,
                message,
                self._positions.of(node),
                hint="convert it, such as int(…), double(…) or string(…)",
            )

    def _seen(self, name: Any) -> Any:
        """A file's name in a file that is inlined, as seen from the folder of the scenario that is run."""
        if isinstance(name, Template) and self._below.parts:
            return Template((f"{self._below}/", *name.parts))
        return str(self._below / name) if isinstance(name, str) and name else name

    def _cleanup(self, step: RawStep, params: CleanupParams, at: Node) -> CleanupParams:
        """With the steps by their ids in the run; one that cannot be undone is noted."""
        listed, part = at.children["steps"], self._part
        above = self._graph.dag.ancestors(step.key, SHOWN)
        ancestors = ", ".join(dict.fromkeys(name for key in above if (name := part.local(key)) is not None))
        keys: list[str] = []
        for index, name in enumerate(params.steps):
            found = part.keys(name) if name in part.steps else ()
            if found and all(self._graph.dag.is_ancestor(key, step.key) for key in found):
                keys += found
                continue
            why = "is not an ancestor of it through `needs`" if name in part.steps else "does not exist"
            where = (
                self._positions.of(listed.children[index])
                if index in listed.children
                else self._positions.of(listed)
            )
            self._positions.note(
                Code.CLEANUP_OF_NO_ANCESTOR,
                f"cleanup cannot undo step {name!r}: it {why}",
                where,
                hint=f"ancestors: {ancestors or 'none'}",
            )
        return CleanupParams(steps=keys or params.steps)


def _waiting(data: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], types.CelType]:
    """Where in the data a `Template` waits for the run, and its type."""
    if isinstance(data, Template):
        return {path: data.type}
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found: dict[tuple[Any, ...], types.CelType] = {}
    for key, value in items:
        found |= _waiting(value, (*path, key))
    return found


def _with_samples(data: Any) -> Any:
    if isinstance(data, Template):
        return _SAMPLES.get(data.type.name)
    if isinstance(data, dict):
        return {key: _with_samples(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_samples(item) for item in data]
    return data
