"""The CEL library's messages in our words.

The only module that reads meaning from cel-expr-python's English (decision 0014). The library has no error classes,
codes or positions: what it refuses is a RuntimeError, and what fails in evaluation is a value, both with a text. It
reads, as 0.1.3 words it: `ERROR: <input>:LINE:COLUMN: text`, several of them with code frames between, lines and
columns from 1; "found no matching overload", "undeclared reference", "Syntax error"; an unset name in double quotes.

When its wording changes, a message that is not known is passed on as it is: still a finding or an error, but without
its position and its hint; and an output that was never set is reported in the library's words.
"""

import re
from collections.abc import Iterator, Sequence

from offbus.findings.codes import Code
from offbus.findings.suggest import closest
from offbus.language.cel.lexer import Token
from offbus.language.cel.trouble import Trouble

__all__ = ["blames", "of_error", "of_refusal"]

_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '(.*)'")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_PROTOBUF = re.compile(r"google\.protobuf\.(Duration|Timestamp)")
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


def of_error(said: str) -> str:
    """An error of evaluation, without the library's status code."""
    return _STATUS.sub("", said)


def blames(said: str, name: str) -> bool:
    """Whether an error of evaluation is that `name` has no value."""
    return f'"{name}"' in said


def of_refusal(said: str, text: str, found: Sequence[Token], functions: Sequence[str] = ()) -> list[Trouble]:
    """All errors in what `compile` raised. `functions` are those of installed packages."""
    troubles = list(_each(said, text, found, functions))
    refused = f"the expression is refused: {of_error(_STATUS.sub('', said))}"
    return troubles or [Trouble(Code.NOT_AN_EXPRESSION, refused, 0, len(text))]


def _each(said: str, text: str, found: Sequence[Token], functions: Sequence[str]) -> Iterator[Trouble]:
    starts = [0, *(n + 1 for n, c in enumerate(text) if c == "\n")]
    for line, column, problem in _ERROR.findall(said):
        start = min(starts[min(int(line), len(starts)) - 1] + int(column) - 1, len(text))
        at = next((n for n, token in enumerate(found) if token.start <= start < token.end), None)
        trouble = _one(_STATUS.sub("", problem).strip(), start, at, found, functions)
        yield trouble
        if trouble.code is Code.NOT_AN_EXPRESSION:
            return  # the parser guesses from here on


def _one(
    problem: str, start: int, at: int | None, found: Sequence[Token], functions: Sequence[str]
) -> Trouble:
    problem = _PROTOBUF.sub(lambda match: match[1].lower(), problem)
    if match := _OVERLOAD.match(problem):
        return _overload(match[1], match[2], start, at, found)
    if match := _UNDECLARED.match(problem):
        return _undeclared(match[1], start, found, functions)
    length = len(found[at].text) if at is not None else 1
    if problem.startswith("Syntax error"):
        hint = "compare with ==" if at is not None and found[at].text == "=" else None
        said = problem.removeprefix("Syntax error: ").partition(" expecting ")[0]
        said = "it ends too early" if "the end" in said or "'<EOF>'" in said else said
        return Trouble(Code.NOT_AN_EXPRESSION, f"not an expression: {said}", start, length, hint)
    return Trouble(Code.WRONG_OPERANDS, problem, start, length)


def _undeclared(name: str, start: int, found: Sequence[Token], functions: Sequence[str]) -> Trouble:
    """A function is reported at its parenthesis; the name comes before it."""
    spelt = name.split(".", maxsplit=1)[0]
    token = next(
        (t for t in reversed(found) if t.start <= start and t.kind == "name" and t.text == spelt), None
    )
    is_call = token is not None and any(t.start == start and t.text == "(" for t in found)
    where = token.start if token is not None else start
    if not is_call:
        hint = "names begin with inputs., steps., outputs. or metrics.; a text needs quotes"
        return Trouble(Code.UNKNOWN_NAME, f"there is no name {name!r}", where, len(spelt), hint)
    listed = ", ".join(functions[:20]) + (", …" if len(functions) > 20 else "")
    known = f"CEL has its own, and installed packages: {listed}" if functions else None
    message, near = f"there is no function {name!r}", closest(name, (f for f in functions if f != name))
    return Trouble(Code.UNKNOWN_NAME, message, where, len(spelt), known, near)


def _overload(function: str, operands: str, start: int, at: int | None, found: Sequence[Token]) -> Trouble:
    name = function.partition("__")[0]  # a package's function, of which `functions.Used` asks for a field
    operator = name if name.isidentifier() else function.strip("_@").replace("_", "")
    literal = _integer_beside(at, found) if operands in ("(double, int)", "(int, double)") else None
    if literal is not None:
        fixed = f"{literal.text}.0"
        message = f"the integer literal {literal.text} beside a double: CEL never mixes the two"
        return Trouble(
            Code.INTEGER_BESIDE_DOUBLE, message, literal.start, len(literal.text), f"write {fixed}", fixed
        )
    shown = (
        f"`{operator}`"
        if operator and not operator.isidentifier()
        else f"{operator}()"
        if operator != "in"
        else "`in`"
    )
    listed = operands.removeprefix("(").removesuffix(")")
    types = listed.replace(", ", " and ") if listed.count(",") == 1 else listed
    length = len(found[at].text) if at is not None else 1
    return Trouble(Code.WRONG_OPERANDS, f"{shown} does not take {types}", start, length, _advice(operands))


def _integer_beside(at: int | None, found: Sequence[Token]) -> Token | None:
    """The integer literal next to an operator, behind a sign or brackets if it must be."""
    if at is None:
        return None
    before = found[at - 1] if at else None
    after = next((token for token in found[at + 1 :] if token.text not in ("-", "(")), None)
    for token in (after, before):
        if token is not None and token.kind == "number" and token.text.isdigit():
            return token
    return None


def _advice(operands: str) -> str | None:
    if operands in ("(list(duration))", "(list(timestamp))"):
        return "a list of these cannot be asked; name each: min(a, b)"
    if "duration" in operands and ("int" in operands or "double" in operands):
        return 'a duration is written duration("60s")'
    if "double" in operands and "int" in operands:
        return "convert one of them: double(…) or int(…)"
    return None
