"""Functions that packages add to expressions (`offbus.function`): found, typed, and made known to the library.

Only functions that an expression calls are imported. CEL has no records without a protobuf schema, so of a function
whose result is a model each field is a function of its own for the library: `f(x).a.b` is given to it as `f__a_0b(x)`,
typed as the field is. `Calls.original` leads from there back to the text that people wrote.
"""

import inspect
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel

from offbus.findings.codes import Code
from offbus.findings.suggest import closest
from offbus.function import Function
from offbus.language.cel import growth, library_types, types
from offbus.language.cel.lexer import KEYWORDS, Token
from offbus.language.cel.trouble import Trouble
from offbus.language.cel.types import CelType
from offbus.plugins import FUNCTIONS, PluginError, Registry, installed
from offbus.printable import clean

__all__ = ["MOST_OF_RESULT", "Calls", "Functions", "Signature", "signature_of"]

MOST_OF_RESULT = 1 << 12
"""Units (offbus.language.cel.growth) of a function's result: what it makes cannot be told from its arguments."""


_PYTHON: Mapping[str, type] = {
    "bool": bool, "int": int, "double": float, "string": str, "duration": timedelta, "timestamp": datetime,
    "list": list, "map": dict,
}  # fmt: skip
"""What a value is in Python that is given to the library as one of that type."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's types, from its annotations."""

    function: Function
    package: str
    params: Mapping[str, CelType]
    result: CelType
    fields: Mapping[str, CelType]
    """Of a result that is a model."""

    @property
    def values(self) -> Mapping[str, CelType]:
        """The fields that an expression can take of its result."""
        return {name: of for name, of in self.fields.items() if of is not types.MODEL}

    def described(self, field: str) -> str:
        """What a field of its result is."""
        model, text = types.unwrap(inspect.signature(self.function.call, eval_str=True).return_annotation), ""
        for part in field.split("."):
            info = model.model_fields[part]
            model, text = types.unwrap(info.annotation), info.description or ""
        return text

    @property
    def shown(self) -> str:
        """As an author's documentation spells it: "sqlite_error(code: int)"."""
        return f"{self.function.name}({', '.join(f'{name}: {of}' for name, of in self.params.items())})"


class Used(NamedTuple):
    """A function as the library knows it: one of these for each field that an expression takes of a result."""

    signature: Signature
    field: str

    @property
    def identifier(self) -> str:
        """Its name there, of no other field: a dot is `_0`, an underscore `_1`. No function has `__` in its own."""
        name = self.signature.function.name
        return f"{name}__{self.field.replace('_', '_1').replace('.', '_0')}" if self.field else name

    @property
    def type(self) -> CelType:
        """The type of its value."""
        return self.signature.fields[self.field] if self.field else self.signature.result

    @property
    def size(self) -> growth.Size:
        """Of its value, at most."""
        if self.type.name in ("bool", "int", "double", "duration", "timestamp"):
            return growth.SMALL
        return growth.Size(MOST_OF_RESULT // growth.LEAF, MOST_OF_RESULT, MOST_OF_RESULT)

    def declared(self, cel: Any) -> Any:
        """Its declaration; `cel` is the library."""
        takes = [library_types.type_for(cel.Type, of) for of in self.signature.params.values()]
        gives = library_types.type_for(cel.Type, self.type)
        overload = cel.Overload(id=self.identifier, return_type=gives, parameters=takes, impl=self.answer)
        return cel.FunctionDecl(self.identifier, [overload])

    def answer(self, *given: Any) -> Any:
        """Its value, as the library takes it. Whatever goes wrong is a ValueError whose text is printable.

        The library ends the process on an exception whose text is not UTF-8 (seen with cel-expr-python 0.1.3).
        """
        name = self.signature.function.name
        try:
            value = self.signature.function.call(*given)
        except ValueError as err:
            raise ValueError(f"{name}(): {clean(err)}") from err
        except Exception as err:  # the package's code: it may raise anything
            raise self._wrong(f"failed: {type(err).__name__}: {err}") from err
        for part in self.field.split(".") if self.field else ():
            value = getattr(value, part, None)
        if value is None:
            raise ValueError(f"{name}(){self.field and '.'}{self.field} has no value for what it was given")
        try:
            found = types.to_cel(value, self.type)
        except (TypeError, ValueError):
            found = None  # no type of CEL is that
        if not isinstance(found, _PYTHON.get(self.type.name, object)):
            raise self._wrong(f"gave {value!r}, which is not a {self.type}")
        if growth.measure(found).whole > MOST_OF_RESULT:
            raise self._wrong(f"gave more than {MOST_OF_RESULT} characters or items")
        return found

    def _wrong(self, why: str) -> ValueError:
        return ValueError(
            clean(f"{self.signature.function.name}() of package {self.signature.package} {why}"[:500])
        )


@dataclass(frozen=True, slots=True)
class Calls:
    """An expression as the library gets it, and the functions that it uses."""

    text: str
    tokens: Sequence[Token]
    used: Mapping[str, Used]
    """By identifier."""
    longer: Sequence[tuple[int, int]] = ()
    """Where this text became longer than the original, and by how much it is longer behind that, in order."""

    def original(self, at: int) -> int:
        """Where in the original a character of this text is."""
        before = bisect_left(self.longer, (at, 0))
        return at - self.longer[before - 1][1] if before else at


class Functions:
    """The functions that are installed, each imported when the first expression calls it."""

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry
        self._known: dict[str, Signature | PluginError] = {}

    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self._plugins().names(FUNCTIONS)

    def calls(self, text: str, found: Sequence[Token]) -> tuple[Calls, list[Trouble]]:
        """The expression for the library, and what is wrong with the calls in it."""
        edits: dict[int, tuple[Used, range]] = {}
        troubles = []
        brackets = _brackets(found)
        for at in _called(found):
            if self._plugins().plugin(FUNCTIONS, found[at].text) is None:
                continue  # CEL's own, or unknown, which the library says
            if at + 1 not in brackets:
                continue  # it is not closed, which the library says
            made = self._call(found, at, *brackets[at + 1])
            if isinstance(made, Trouble):
                troubles.append(made)
            else:
                edits[at] = made
        return _rewritten(text, found, edits), troubles

    def _plugins(self) -> Registry:
        return installed() if self._registry is None else self._registry

    def _call(self, found: Sequence[Token], at: int, end: int, given: int) -> "tuple[Used, range] | Trouble":
        """The function of a call that ends at the bracket `end`, and the tokens that take a field of its result."""
        token, signature = found[at], self._signature(found[at].text)
        if isinstance(signature, PluginError):
            code, said, hint = Code.FUNCTION_NOT_LOADED, signature.message, signature.hint
            return Trouble(code, said, token.start, len(token.text), hint)
        if given != (wanted := len(signature.params)):
            message = f"{signature.shown} takes {wanted} argument{'s' * (wanted != 1)}, not {given}"
            return Trouble(Code.WRONG_OPERANDS, message, token.start, len(token.text))
        if not signature.fields:
            return Used(signature, ""), range(0)
        parts = _selected(found, end + 1)
        for length in range(len(parts), 0, -1):
            field = ".".join(parts[:length])
            if field in signature.values:
                return Used(signature, field), range(end + 1, end + 1 + 2 * length)
        return _no_field(signature, parts, token, found[end])

    def _signature(self, name: str) -> "Signature | PluginError":
        if name not in self._known:
            try:
                self._known[name] = signature_of(self._plugins(), name)
            except PluginError as err:
                self._known[name] = err
        return self._known[name]


def signature_of(registry: Registry, name: str) -> Signature:
    """A function's types. Raises PluginError when it cannot be loaded, or its annotations have no type in CEL."""
    function = registry.function(name)
    plugin = registry.plugin(FUNCTIONS, name)
    package = plugin.package if plugin is not None else "(given)"
    try:
        signature = inspect.signature(function.call, eval_str=True)
    except Exception as err:  # annotations are the package's code: evaluating them may raise anything
        raise _untyped(name, package, f"{type(err).__name__}: {err}") from err
    params = {}
    for one in signature.parameters.values():
        if one.kind not in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) or one.annotation is one.empty:
            raise _untyped(name, package, f"its parameter {one.name} is not positional, or has no annotation")
        params[one.name] = types.of_annotation(one.annotation)
    gives = types.unwrap(signature.return_annotation)
    if gives in (inspect.Signature.empty, None) or types.MODEL in params.values():
        raise _untyped(name, package, "its result has no annotation, or a parameter is a model")
    fields = types.flatten(gives) if isinstance(gives, type) and issubclass(gives, BaseModel) else {}
    return Signature(function, package, params, types.of_annotation(gives), fields)


def _untyped(name: str, package: str, why: str) -> PluginError:
    return PluginError(
        f"{FUNCTIONS} {name!r} of package {package} has no types for expressions: {why}"[:500],
        hint=f"fix or uninstall {package}",
    )


def _no_field(signature: Signature, parts: Sequence[str], name: Token, closing: Token) -> Trouble:
    """What is wrong with a call whose result is a model, when no field of it is taken."""
    fields = sorted(signature.values)
    hint = f"its fields: {', '.join(fields[:20])}{', …' * (len(fields) > 20)}"
    if not parts:
        message = f"{signature.function.name}() gives a whole object, and an expression takes a field of it"
        return Trouble(Code.WRONG_OPERANDS, message, name.start, closing.end - name.start, hint)
    path = ".".join(parts)
    near = closest(path, fields)
    message = f"{signature.function.name}() has no field {path!r}"
    return Trouble(Code.UNKNOWN_NAME, message, closing.end, len(path) + 1, hint, near and f".{near}")


def _called(found: Sequence[Token]) -> Iterator[int]:
    """Where functions are called; a method stands behind a dot."""
    for at in range(len(found) - 1):
        name = found[at].kind == "name" and found[at].text not in KEYWORDS
        if name and found[at + 1].text == "(" and not (at and found[at - 1].text == "."):
            yield at


def _brackets(found: Sequence[Token]) -> dict[int, tuple[int, int]]:
    """Of each opening bracket that is closed: which one closes it, and how many items stand between. In one pass."""
    closed: dict[int, tuple[int, int]] = {}
    opened: list[tuple[int, int]] = []
    for at, token in enumerate(found):
        if token.kind != "other":
            continue
        if token.text in "([{":
            opened.append((at, 0))
        elif token.text == "," and opened:
            opened[-1] = opened[-1][0], opened[-1][1] + 1
        elif token.text in ")]}" and opened:
            first, commas = opened.pop()
            closed[first] = at, 0 if at == first + 1 else commas + 1
    return closed


def _selected(found: Sequence[Token], at: int) -> list[str]:
    """The names that are taken of what ends before `at`, without a method that is called on them."""
    parts = []
    while at + 1 < len(found) and found[at].text == "." and found[at + 1].kind == "name":
        parts.append(found[at + 1].text)
        at += 2
    return parts[:-1] if parts and at < len(found) and found[at].text == "(" else parts


def _rewritten(text: str, found: Sequence[Token], edits: Mapping[int, tuple[Used, range]]) -> Calls:
    """The text with functions by their identifiers, and spaces for the fields that are taken of their results."""
    taken = {at for _, tokens in edits.values() for at in tokens}
    pieces, tokens, longer, shift, done = [], [], [], 0, 0
    for at, token in enumerate(found):
        spelt = edits[at][0].identifier if at in edits else token.text
        start = token.start + shift
        if at not in taken:
            tokens.append(Token(token.kind, spelt, start))
        pieces += [text[done : token.start], " " * len(spelt) if at in taken else spelt]
        if more := len(spelt) - len(token.text):
            shift += more
            longer.append((start, shift))
        done = token.end
    used = {one.identifier: one for one, _ in edits.values()}
    return Calls("".join((*pieces, text[done:])), tokens, used, longer)
