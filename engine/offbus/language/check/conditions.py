"""Expressions of a file: compiled, with findings at their positions.

The one module that knows both a file's nodes and CEL: `when` and `expect`, and the `${{ }}` of params and options.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from offbus.findings.codes import Code
from offbus.findings.model import Edit, Severity
from offbus.language.cel import types
from offbus.language.cel.expressions import Compiler, EvaluationError, Expression
from offbus.language.cel.growth import Budget
from offbus.language.cel.scope import Scope
from offbus.language.cel.templates import Template, pieces
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.scenario import Expectation
from offbus.language.syntax import braces
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions

__all__ = ["Conditions"]

MOST_TRIED, MOST_TRIED_IN_CELLS = 1_000, 10_000
"""Other values of inputs that the texts of one file are tried with, of 1,000 texts each with 1,000 is a million; and of
all cells of its matrix together."""
MOST_COMPILED = 12_000
"""Different expressions of a file; a generated scenario of 10,000 steps has one in each. They take a second."""


class Conditions:
    """Compiles what a file holds; remembers which inputs were used."""

    def __init__(
        self,
        positions: Positions,
        compiler: Compiler,
        known: Scope,
        choices: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._positions = positions
        self._compiler = compiler
        self._budget = known.budget or Budget()
        self._known = replace(known, budget=self._budget)
        """The inputs' values: what uses only them is evaluated now."""
        self._choices = choices or {}
        self._tried = 0
        self._compiled: set[str] = set()
        self.used_inputs: set[str] = set()

    def of_inlined(self, positions: Positions, inputs: Mapping[str, Any]) -> "Conditions":
        """Those of a file that is inlined: its inputs' values are what it was given, from the same budget."""
        return Conditions(positions, self._compiler, Scope(inputs=inputs, budget=self._budget))

    def condition(self, node: Node, vocabulary: Vocabulary) -> Expression | None:
        """A boolean expression; None if something is wrong with it."""
        text = node.value
        if braces.OPEN in text:
            hint = "this is an expression already: leave ${{ and }} out"
            self._positions.note(
                Code.MISPLACED_TEMPLATE,
                "${{ }} inside a condition",
                self._positions.within(node, text.index(braces.OPEN), 3),
                hint=hint,
                fix=self._without_braces(node),
            )
            return None
        return self.predicate(node, text, vocabulary)

    def _without_braces(self, node: Node) -> Edit | None:
        """A condition that is one `${{ … }}` and nothing else, without that."""
        found, spelt = list(pieces(node.value)), self._positions.spelt(node) or ""
        if len(found) != 1 or not found[0].closed or spelt.count(braces.OPEN) != 1:
            return None
        quote = node.style if node.style in ('"', "'") else ""
        inner = spelt.removeprefix(quote + braces.OPEN).removesuffix(braces.CLOSE + quote).strip()
        return self._positions.rewritten(node, f"{quote}{inner}{quote}")

    def expectations(self, node: Node | None, vocabulary: Vocabulary) -> tuple[Expectation, ...]:
        """All conditions of an `expect` list that are in order."""
        if node is None or node.kind != "sequence":
            return ()
        found = []
        for item in node.children.values():
            if item.spoiled or not isinstance(item.value, str) or not item.value:
                continue
            expression = self.condition(item, vocabulary)
            if expression is not None:
                found.append(Expectation(item.value, expression, expression.position))
        return tuple(found)

    def predicate(self, node: Node, text: str, vocabulary: Vocabulary) -> Expression | None:
        """A boolean expression, also that of a param that is one over names of its own; None if it is wrong."""
        expression = self._compile(node, text, 0, vocabulary)
        if expression is None or expression.type in (types.BOOL, types.DYN):
            return expression
        message = f"a condition must be true or false, not {expression.type}"
        self._positions.note(
            Code.NOT_BOOLEAN, message, self._positions.of(node), hint="compare it with something"
        )
        return None

    def data(self, node: Node, vocabulary: Vocabulary) -> Any:
        """A node's value, each text with `${{ }}` replaced: by its value if inputs suffice, else by a `Template`.

        Broken ones become None and their node is spoiled.
        """
        if not node.templated:
            return node.value
        if node.kind == "mapping":
            return {key: self.data(child, vocabulary) for key, child in node.children.items()}
        if node.kind == "sequence":
            return [self.data(child, vocabulary) for child in node.children.values()]
        return self._text(node, vocabulary)

    def others(self, node: Node, vocabulary: Vocabulary) -> Iterator[tuple[str, Any]]:
        """What a text would be with each other value of an input that lists them: ("backend=sglang", value).

        For MOST_TRIED of a file; what comes after them is not tried, which is told once, as a warning.
        """
        if self._tried > MOST_TRIED or self._budget.tried > MOST_TRIED_IN_CELLS:
            return
        template = self._template(node, vocabulary) if node.templated and node.kind == "scalar" else None
        if template is None or not template.only_inputs:
            return
        used = {name.rest for part in template.parts if isinstance(part, Expression) for name in part.names}
        for name in sorted(used & self._choices.keys()):
            for choice in self._choices[name]:
                if choice == self._known.inputs.get(name):
                    continue
                self._tried += 1
                self._budget.tried += 1
                most = MOST_TRIED if self._tried > MOST_TRIED else MOST_TRIED_IN_CELLS
                if self._tried > MOST_TRIED or self._budget.tried > MOST_TRIED_IN_CELLS:
                    message = f"files for more than {most} other values of inputs are not looked at"
                    where = self._positions.of(node)
                    self._positions.note(Code.BAD_FILE, message, where, severity=Severity.WARNING)
                    return
                try:
                    yield (
                        f"{name}={choice}",
                        template.value(replace(self._known, inputs={**self._known.inputs, name: choice})),
                    )
                except EvaluationError:
                    continue  # it needs another input that has no value, which is a finding of its own

    def _text(self, node: Node, vocabulary: Vocabulary) -> Any:
        template = self._template(node, vocabulary)
        if template is None:
            node.spoiled = True
            return None
        names = [name for part in template.parts if isinstance(part, Expression) for name in part.names]
        if not template.only_inputs or any(name.rest not in self._known.inputs for name in names):
            return template
        told = self._budget.spent
        try:
            return template.value(self._known)
        except EvaluationError as err:
            if not told:  # else the finding that says why is there already
                self._positions.note(Code.NOT_EVALUABLE, str(err), self._positions.of(node))
            node.spoiled = True
            return None

    def _template(self, node: Node, vocabulary: Vocabulary) -> Template | None:
        parts: list[str | Expression] = []
        failed = False
        found = list(pieces(node.value))
        for piece in found:
            if not piece.is_expression:
                parts.append(piece.text)
                continue
            expression = None
            if piece.closed:
                expression = self._compile(node, piece.text, piece.start, vocabulary)
            else:
                hint = 'close it with }}; a literal ${{ is written ${{ "${{" }}'
                self._positions.note(
                    Code.UNCLOSED_TEMPLATE,
                    "this ${{ has no }}",
                    self._positions.within(node, piece.start, 3),
                    hint=hint,
                )
            if expression is None or (
                len(found) > 1 and self._refused_in_text(node, expression, piece.start)
            ):
                failed = True
            else:
                parts.append(expression)
        return None if failed else Template(tuple(parts))

    def _refused_in_text(self, node: Node, expression: Expression, start: int) -> bool:
        if expression.type.name not in ("list", "map", "model", "null"):
            return False
        where = self._positions.within(node, start, len(expression.text))
        message = f"a {expression.type} cannot be put into a text"
        self._positions.note(
            Code.UNSUITABLE_TYPE,
            message,
            where,
            hint="use it alone, as the whole value, or name a field of it",
        )
        return True

    def _compile(self, node: Node, text: str, offset: int, vocabulary: Vocabulary) -> Expression | None:
        lead = len(text) - len(text.lstrip())
        position = self._positions.within(node, offset + lead, len(text.strip()))
        if len(self._compiled) > MOST_COMPILED:
            return None  # which has its finding
        self._compiled.add(text)
        if len(self._compiled) > MOST_COMPILED:
            message = f"the file has more than {MOST_COMPILED} different expressions, which no scenario needs"
            self._positions.note(
                Code.TOO_LARGE, message, position, hint="a matrix plays one scenario with many values"
            )
            return None
        compiled = self._compiler.compile(text, vocabulary, position)
        if isinstance(compiled, Expression):
            for one in compiled.surprises:
                where = self._positions.within(node, offset + one.start, one.length)
                self._positions.note(one.code, one.message, where, hint=one.hint, severity=Severity.WARNING)
            self.used_inputs.update(name.rest for name in compiled.names if name.path.startswith("inputs."))
            return compiled
        for trouble in compiled:
            where = self._positions.within(node, offset + trouble.start, trouble.length)
            literal = text[trouble.start : trouble.start + trouble.length]
            is_literal = trouble.code is Code.INTEGER_BESIDE_DOUBLE  # other names are not ours to choose
            fix = self._positions.replaced(where, literal, trouble.suggestion) if is_literal else None
            self._positions.note(
                trouble.code,
                trouble.message,
                where,
                hint=trouble.hint,
                suggestion=trouble.suggestion,
                fix=fix,
            )
        return None
