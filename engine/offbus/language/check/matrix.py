"""A scenario's `matrix`: axes are inputs, values fit their inputs, and there are neither no cells nor too many.

What a cell's inputs make of the rest of the file is checked cell by cell (offbus.language.load).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position
from offbus.findings.suggest import closest
from offbus.language.check.given import GivenInputs
from offbus.language.check.inputs import allowed_values, given_value, listed, typed_value
from offbus.language.check.matrix_size import too_large, too_many_kinds, too_many_steps
from offbus.language.format import HeaderModel, InputModel, MatrixModel
from offbus.language.matrix import LARGEST, Cell, Matrix, expand
from offbus.language.syntax.node import Node, weight
from offbus.language.syntax.positions import Positions

__all__ = ["read_matrix"]

_MOST_SUGGESTED = 20
"""Unknown names that get a suggestion, for which all names are compared."""
_EXPANDED = 16 * LARGEST
"""Combinations that are looked at before `exclude` leaves some out."""
_FEWER = "leave some out, or make two scenarios of it"


def read_matrix(root: Node, header: HeaderModel, given: GivenInputs, positions: Positions) -> Matrix | None:
    """The matrix, if nothing is wrong with it; otherwise all that is wrong is noted.

    What is `given` (`--set` and others) pins an input: an axis has that value alone, and cells with another one are
    left out.
    """
    if header.matrix is None:  # it has no shape of a matrix, which is noted with the header's
        return None
    values = sum(map(weight, (one for key, one in root.children.items() if key != "matrix")))
    matrix = _Reader(header, header.matrix, root.children["matrix"], positions, given, values).read()
    why = None if matrix is None else too_many_steps(len(matrix.cells), len(header.steps))
    if why is None:
        return matrix
    positions.note(Code.TOO_MANY_CELLS, why, positions.key(root, "matrix"), hint=_FEWER)
    return None


class _Reader:
    def __init__(
        self,
        header: HeaderModel,
        model: MatrixModel,
        node: Node,
        positions: Positions,
        given: GivenInputs,
        values: int,
    ) -> None:
        """`values`: how many the file has beside its matrix."""
        self._inputs: Mapping[str, InputModel] = header.inputs
        self._model = model
        self._node = node
        self._positions = positions
        self._pinned = dict(self._pins(given))
        self._values = values
        self._unknown = 0
        self._allowed: dict[str, Mapping[Any, None] | None] = {}
        """Of an input the values that it lists, once for all values of its axis."""

    def read(self) -> Matrix | None:
        known = len(self._positions.findings)
        axes = {
            name: self._axis(name, self._node.children[name])
            for name in self._model.__pydantic_extra__
            if self._is_input(name, self._node)
        }
        exclude = [self._entry("exclude", number, axes) for number in range(len(self._model.exclude))]
        include = [self._entry("include", number) for number in range(len(self._model.include))]
        broken = (
            self._node.children.keys() - self._model.model_fields_set
        )  # which has a finding, with its shape's
        if broken or len(self._positions.findings) > known:
            return None
        axes = {
            name: [self._pinned[name]] if name in self._pinned else values for name, values in axes.items()
        }
        if not self._bounded(math.prod(map(len, axes.values())), _EXPANDED) or self._refused(
            too_many_kinds(exclude)
        ):
            return None
        made = [*expand(axes, exclude), *map(Cell, include)]
        return self._checked([cell for cell in made if self._fits(cell, axes)], axes, exclude)

    def _checked(
        self, cells: Sequence[Cell], axes: Mapping[str, Sequence[Any]], exclude: Sequence[Mapping[str, Any]]
    ) -> Matrix | None:
        known = len(self._positions.findings)
        common = {**self._defaults, **self._pinned}
        if not self._bounded(len(cells), self._model.max_cells) or self._refused(
            too_large(cells, self._values, common)
        ):
            return None
        self._repeated(cells)
        if not self._pinned:
            self._excluding_nothing(axes, exclude)
        if not cells and self._pinned:
            text = " ".join(f"--set {name}={value}" for name, value in self._pinned.items())
            self._positions.findings.append(
                Finding(
                    code=Code.UNKNOWN_CELL,
                    message="no cell of the matrix has these values",
                    where=Position(text),
                )
            )
        elif not cells:
            self._note(Code.NO_CELLS, "the matrix has no cells", hint="give it an axis, such as size: [4, 8]")
        if len(self._positions.findings) > known:
            return None
        return Matrix(tuple(cells), self._model.fail_fast, self._model.max_parallel)

    def _pins(self, given: GivenInputs) -> Iterator[tuple[str, Any]]:
        """What is given, where it is an input's value; what is not is noted when the inputs are read."""
        for name, one in given.by_name.items():
            if name in self._inputs:
                try:
                    yield name, given_value(self._inputs[name], one)
                except ValueError:
                    continue

    def _is_input(self, name: str, mapping: Node) -> bool:
        if name in self._inputs:
            return True
        self._unknown += 1
        self._note(
            Code.UNKNOWN_AXIS,
            f"the matrix names {name!r}, and the scenario has no such input",
            self._positions.key(mapping, name),
            hint=f"inputs: {listed(self._inputs) or 'there are none'}",
            suggestion=closest(name, self._inputs) if self._unknown <= _MOST_SUGGESTED else None,
        )
        return False

    def _axis(self, name: str, node: Node) -> list[Any]:
        values: dict[Any, None] = {}
        if not self._bounded(len(node.children), _EXPANDED):
            return []
        for item in node.children.values():
            for value in self._value(name, item):
                if value in values:
                    self._note(
                        Code.REPEATED_CELL,
                        f"the axis {name} has {item.value!r} twice",
                        self._positions.of(item),
                    )
                values[value] = None
        return list(values)

    def _entry(self, key: str, number: int, axes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """An entry of `include`, which may set any input, or of `exclude`, which names axes."""
        node = self._node.children[key].children[number]
        if not node.children:
            self._note(Code.NOT_ALLOWED, f"{key}[{number}]: it names nothing", self._positions.of(node))
        found: dict[str, Any] = {}
        for name, item in node.children.items():
            if not self._is_input(name, node):
                continue
            if axes is not None and name not in axes:
                self._note(
                    Code.EXCLUDES_NOTHING,
                    f"`exclude` names {name!r}, which is no axis of the matrix",
                    self._positions.key(node, name),
                    hint=f"axes: {listed(axes) or 'none'}",
                )
                continue
            for value in self._value(name, item):
                found[name] = value
        order = self._order
        return {name: found[name] for name in sorted(found, key=lambda name: order.get(name, len(order)))}

    @cached_property
    def _order(self) -> Mapping[str, int]:
        """Of the axes."""
        return {name: number for number, name in enumerate(self._model.__pydantic_extra__)}

    def _value(self, name: str, node: Node) -> list[Any]:
        """The value, or none when it does not fit, which is noted."""
        try:
            if name not in self._allowed:
                self._allowed[name] = allowed_values(self._inputs[name])
            return [typed_value(self._inputs[name], node.value, self._allowed[name])]
        except ValueError as err:
            if not node.spoiled:
                self._note(Code.BAD_INPUT, f"the input {name!r}: {err}", self._positions.of(node))
            return []

    def _fits(self, cell: Cell, axes: Mapping[str, Any]) -> bool:
        """Whether it has what is set: of an axis that it does not name, by the input's default."""
        whole = self._whole(cell) if axes.keys() - cell.inputs.keys() else cell.inputs
        return all(
            whole.get(name) == value
            for name, value in self._pinned.items()
            if name in axes or name in cell.inputs
        )

    def _whole(self, cell: Cell) -> dict[str, Any]:
        """All inputs of a cell that have a value, typed."""
        return {**self._defaults, **cell.inputs}

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        """Those of all inputs that have one, typed."""
        defaults: dict[str, Any] = {}
        for name, model in self._inputs.items():
            if model.default is not None:
                try:
                    defaults[name] = typed_value(model, model.default)
                except ValueError:
                    continue  # noted when the inputs are read
        return defaults

    def _refused(self, why: str | None) -> bool:
        """Whether there is a reason, which is noted."""
        if why is not None:
            self._note(Code.TOO_MANY_CELLS, why, hint=_FEWER)
        return why is not None

    def _bounded(self, count: int, most: int) -> bool:
        if count <= most:
            return True
        hint = f"leave some out, or raise max_cells (at most {LARGEST})"
        self._note(Code.TOO_MANY_CELLS, f"the matrix has {count} cells, and {most} are allowed", hint=hint)
        return False

    def _repeated(self, cells: Sequence[Cell]) -> None:
        seen: dict[Any, Cell] = {}
        for cell in cells:
            whole = frozenset(self._whole(cell).items())
            other = seen.setdefault(whole, cell)
            if other is not cell:
                text = f"the cells {other.id} and {cell.id} have the same inputs"
                self._note(Code.REPEATED_CELL, text, hint="leave one out")

    def _excluding_nothing(
        self, axes: Mapping[str, Sequence[Any]], exclude: Sequence[Mapping[str, Any]]
    ) -> None:
        known = {name: set(values) for name, values in axes.items()}
        for number, entry in enumerate(exclude):
            if not all(value in known[name] for name, value in entry.items()):
                where = self._positions.of(self._node.children["exclude"].children[number])
                self._note(Code.EXCLUDES_NOTHING, f"exclude[{number}] is no combination of the axes", where)

    def _note(
        self,
        code: Code,
        message: str,
        where: Position | None = None,
        *,
        hint: str | None = None,
        suggestion: str | None = None,
    ) -> None:
        here = where if where is not None else self._positions.start_of(self._node)
        self._positions.note(code, message, here, hint=hint, suggestion=suggestion)
