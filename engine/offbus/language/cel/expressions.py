"""Typed CEL: compiled and checked when a scenario is loaded, evaluated while it runs.

The work is done by the official `cel-expr-python`, which is imported when the first expression is compiled. Names are
declared whole ("steps.a.outputs.lost"), and only those that an expression uses, the functions of packages among them:
one environment serves all expressions with the same names. Errors of the library are put into our words, with their
positions.

An expression that cannot be evaluated raises `EvaluationError`: never false, never None. One that may make more than
`growth` allows is not evaluated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from offbus.errors import UsageError
from offbus.findings.codes import Code
from offbus.findings.model import Position
from offbus.language.cel import (
    arithmetic,
    error_text,
    growth,
    lexer,
    library_types,
    literals,
    short_circuit,
    types,
)
from offbus.language.cel.functions import Calls, Functions
from offbus.language.cel.scope import Scope
from offbus.language.cel.trouble import Trouble
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Bound, Unknown, UnsetError, Vocabulary
from offbus.plugins import Registry
from offbus.userinfo import without_userinfo

__all__ = ["Compiler", "EvaluationError", "Expression", "Guarded", "Predicate", "predicate"]


class EvaluationError(UsageError):
    """Raised when an expression has no value: a name that was not set, a division by zero, an index out of range."""

    def __init__(self, why: str, text: str = "") -> None:
        """`why` it has none; `text`: of the expression, where the message is to name it."""
        super().__init__(f"{_shown(text)}: {why}" if text else why)
        self.why = without_userinfo(why)


@dataclass(frozen=True, eq=False)
class _Program:
    """A compiled text over declared names; the library's expression is not thread-safe by contract, nor need it be."""

    compiled: Any
    type: CelType
    calls: Calls
    compile: Callable[[str], Any]

    def run(
        self, values: Mapping[str, Any], unset: Sequence[str], budget: growth.Budget | None = None
    ) -> Any:
        """The value. What is unset is an error even where CEL's commutative operators hide it (`short_circuit`)."""
        try:
            sizes = {name: growth.measure(value) for name, value in values.items()}
            gives = {name: used.size for name, used in self.calls.used.items()}
            made = growth.cost(self.calls.tokens, sizes, gives)
            if budget is not None:
                budget.charge(made)
        except growth.TooLargeError as err:
            raise EvaluationError(str(err)) from err
        if unset and self.type == types.BOOL:
            return short_circuit.evaluate(
                self._conditions, lambda text: bool(_run(self.compile(text), values, unset))
            )
        return _run(self.compiled, values, unset)

    @cached_property
    def _conditions(self) -> short_circuit.Condition:
        return short_circuit.split(self.calls.text)


def _run(compiled: Any, values: Mapping[str, Any], unset: Sequence[str]) -> Any:
    try:
        result = compiled.eval(data=dict(values))
    except RuntimeError as err:  # what ends the evaluation itself: an expression that loops without end
        raise EvaluationError(error_text.of_error(str(err))) from err
    except MemoryError as err:  # the library's std::bad_alloc
        raise EvaluationError("it takes more memory than there is") from err
    if result.type().name() != "ERROR":
        return result.plain_value()
    said = str(result)
    for why in unset:
        if error_text.blames(said, why.split(" ", 1)[0]):
            raise EvaluationError(why)
    raise EvaluationError(error_text.of_error(said))


@dataclass(frozen=True, eq=False)
class Expression:
    """A compiled expression."""

    text: str
    position: Position
    type: CelType
    names: tuple[Bound, ...]
    _program: _Program | None = field(repr=False)
    """None if the whole expression is the name of a model, which CEL cannot hold."""
    surprises: tuple[Trouble, ...] = ()
    """What is allowed, and perhaps not meant."""

    def evaluate(self, scope: Scope) -> bool:
        """The value of a condition. Raises EvaluationError."""
        value = self.value(scope)
        if not isinstance(value, bool):  # only a `dyn` can come to this: the type was checked at load
            raise EvaluationError(f"is not true or false, but {value!r}"[:500], self.text)
        return value

    def value(self, scope: Scope) -> Any:
        """The value: of a whole model the model, else what CEL has in Python. Raises EvaluationError."""
        values: dict[str, Any] = {}
        unset: list[str] = []
        for name in self.names:
            try:
                found = name.fetch(scope)
            except UnsetError as err:
                unset.append(str(err))
                continue
            if self._program is None:
                return found
            values[name.path] = _converted(name, found)
        if self._program is None:
            raise EvaluationError(unset[0], self.text)
        try:
            return self._program.run(values, unset, scope.budget)
        except EvaluationError as err:
            raise EvaluationError(err.why, self.text) from err

    @property
    def only_inputs(self) -> bool:
        """Whether its value is known before the run."""
        return all(name.root == "inputs" for name in self.names)


@dataclass(frozen=True, eq=False)
class Guarded:
    """A condition of a file that is inlined under conditions: the `when` of the steps that inline it."""

    guards: tuple[Expression, ...]
    """Outermost first."""
    expression: "Expression | Guarded | None"
    otherwise: bool
    """What it is when a guard is false."""

    @property
    def text(self) -> str:
        """For people: the names in it are those of several files."""
        every = [one.text for one in self.guards] + (
            [] if self.expression is None else [self.expression.text]
        )
        return " && ".join(f"({text.strip()})" for text in every) if len(every) > 1 else every[0]

    @property
    def names(self) -> tuple[Bound, ...]:
        """The names in it."""
        return () if self.expression is None else self.expression.names

    def evaluate(self, scope: Scope) -> bool:
        """The value. Raises EvaluationError."""
        if not all(one.evaluate(scope) for one in self.guards):
            return self.otherwise
        return self.expression is None or self.expression.evaluate(scope)


def _shown(text: str) -> str:
    """An expression in a message: a file's may have a million characters."""
    return text if len(text) <= 300 else f"{text[:300]}…"


def _converted(name: Bound, value: Any) -> Any:
    try:
        return types.to_cel(value, name.type)
    except (TypeError, ValueError) as err:
        raise EvaluationError(f"{name.path} is {value!r}, which is not a {name.type}"[:500]) from err


class _Reading(NamedTuple):
    """What a text says by itself, whatever its names are."""

    tokens: tuple[lexer.Token, ...]
    chains: tuple[lexer.Chain, ...]
    calls: Calls
    wrong_calls: list[Trouble]


class Compiler:
    """Compiles expressions; shares environments and programs among those that are alike.

    `registry` holds the functions that packages add (default: what is installed).
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self._functions = Functions(registry)
        self._environments: dict[
            tuple[tuple[tuple[str, CelType], ...], tuple[str, ...], frozenset[str]], Any
        ] = {}
        self._programs: dict[tuple[tuple[tuple[str, CelType], ...], str], _Program | list[Trouble]] = {}
        self._readings: dict[str, _Reading] = {}
        """By text: a file that is inlined hundreds of times has each in all of them, and in each cell of a matrix."""

    def compile(self, text: str, vocabulary: Vocabulary, position: Position) -> Expression | list[Trouble]:
        """The expression, or all that is wrong with it."""
        found, chains, calls, wrong_calls = self._reading(text)
        names, troubles = _names(chains, vocabulary)
        if len(names) == 1 and names[0].type is types.MODEL and names[0].path == text.strip():
            return Expression(text, position, types.MODEL, tuple(names), None)
        troubles += [_whole_model(chains, name) for name in names if name.type is types.MODEL]
        troubles += wrong_calls
        if troubles:
            return troubles
        declared = tuple(sorted((name.path, name.type) for name in names))
        program = self._program(text, declared, calls)
        if isinstance(program, list):
            return program
        return Expression(
            text, position, program.type, tuple(names), program, tuple(arithmetic.surprises(found, names))
        )

    def _reading(self, text: str) -> "_Reading":
        known = self._readings.get(text)
        if known is None:
            found = lexer.tokens(text)
            calls, wrong = self._functions.calls(text, found)
            known = self._readings[text] = _Reading(found, tuple(lexer.chains(found)), calls, wrong)
        return known

    def _program(
        self, text: str, declared: tuple[tuple[str, CelType], ...], calls: Calls
    ) -> "_Program | list[Trouble]":
        key = (declared, text)
        known = self._programs.get(key)
        if known is None:
            environment = self._environment(declared, calls)
            try:
                compiled = environment.compile(calls.text)
            except RuntimeError as err:  # the library has no class of its own for what it refuses
                said = error_text.of_refusal(str(err), calls.text, calls.tokens, self._functions.names())
                known = [one._replace(start=calls.original(one.start)) for one in said]
            else:
                returns = library_types.type_from(compiled.return_type())
                known = list(literals.refused(lexer.tokens(text), environment)) or _Program(
                    compiled, returns, calls, environment.compile
                )
            self._programs[key] = known
        return known

    def _environment(self, declared: tuple[tuple[str, CelType], ...], calls: Calls) -> Any:
        added = arithmetic.used_in(calls.tokens)
        key = (declared, tuple(sorted(calls.used)), added)
        if key not in self._environments:
            from cel_expr_python import cel

            variables = {name: library_types.type_for(cel.Type, of) for name, of in declared}
            given = arithmetic.additions(cel, added)
            given["functions"] += [used.declared(cel) for used in calls.used.values()]
            self._environments[key] = cel.NewEnv(variables=variables, **given)
        return self._environments[key]


def _names(chains: Sequence[lexer.Chain], vocabulary: Vocabulary) -> tuple[list[Bound], list[Trouble]]:
    """The declared names that an expression uses, and what is wrong with the others."""
    names: dict[str, Bound] = {}
    troubles = []
    for chain in chains:
        known = vocabulary.find(chain.parts)
        length = chain.end - chain.start
        if isinstance(known, Unknown):
            troubles.append(
                Trouble(known.code, known.message, chain.start, length, known.hint, known.suggestion)
            )
        elif known is not None and chain.inside_has:
            hint = "an output that was never set is an error; ask steps.ID.outcome first"
            troubles.append(
                Trouble(
                    Code.HAS_OF_DECLARED,
                    f"has({chain.path}) does not tell whether it was set",
                    chain.start,
                    length,
                    hint,
                )
            )
        elif known is not None:
            names[known.path] = known
    return list(names.values()), troubles


def _whole_model(chains: Sequence[lexer.Chain], name: Bound) -> Trouble:
    chain = next(c for c in chains if c.path == name.path)
    if name.root == "inputs" or name.path.startswith("inputs."):
        why = f"{name.path} is a secret, and only a param that takes one can have it"
        hint = f"write it alone: ${{{{ {name.path} }}}}"
        return Trouble(Code.WRONG_OPERANDS, why, chain.start, chain.end - chain.start, hint)
    message = f"{name.path} is a whole object, and only a param can take one"
    return Trouble(
        Code.WRONG_OPERANDS,
        message,
        chain.start,
        chain.end - chain.start,
        f"name a field of it: {name.path}.FIELD",
    )


@dataclass(frozen=True, eq=False)
class Predicate:
    """A condition over named variables, for steps with a param that is an expression (`offbus.step.Expr`)."""

    text: str
    _program: _Program
    _variables: tuple[Bound, ...]

    def evaluate(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true; a variable that is missing or None was not set. Raises EvaluationError."""
        known = {
            name.path: _converted(name, values[name.path])
            for name in self._variables
            if values.get(name.path) is not None
        }
        unset = [f"{name.path} was not set" for name in self._variables if name.path not in known]
        try:
            value = self._program.run(known, unset)
        except EvaluationError as err:
            raise EvaluationError(err.why, self.text) from err
        if not isinstance(value, bool):
            raise EvaluationError(f"is not true or false, but {value!r}"[:500], self.text)
        return value


def predicate(text: str, variables: Mapping[str, str]) -> Predicate:
    """Compile a condition over `variables` (name -> type name, as in `offbus.step.Expr`). Raises UsageError."""
    vocabulary = Vocabulary(variables={name: types.NAMED[of] for name, of in variables.items()})
    compiled = Compiler().compile(text, vocabulary, Position(text))
    if isinstance(compiled, list):
        raise UsageError(f"{text}: {compiled[0].message}", hint=compiled[0].hint)
    if compiled.type not in (types.BOOL, types.DYN) or compiled._program is None:
        raise UsageError(f"{text}: a condition must be true or false, not {compiled.type}")
    return Predicate(text, compiled._program, compiled.names)
