"""What a function of expressions is: how a package lets scenarios ask for the facts of its domain.

A `Function` is registered under the entry point group `offbus.functions`. It is imported when an expression names it:

    class SqliteError(Outputs):
        name: str = Field(description="How SQLite spells it.")
        transient: bool = Field(description="Whether trying again may help.")

    def sqlite_error(code: int) -> SqliteError: ...

    SQLITE_ERROR = Function(name="sqlite_error", summary="What SQLite means by a result code.", call=sqlite_error)

Then `when: sqlite_error(inputs.code).transient` is typed when a scenario is loaded: parameters and result are what the
annotations say (bool, int, float, str, timedelta, list, dict); of a result that is a model an expression takes a field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["RESERVED", "Function"]

RESERVED = frozenset((
    "all", "bool", "bytes", "contains", "double", "duration", "dyn", "exists", "exists_one", "filter", "has", "inputs",
    "int", "list", "map", "matches", "max", "metrics", "min", "null_type", "outputs", "quantile", "seconds", "size",
    "steps", "string", "timestamp", "type", "uint",
))  # fmt: skip
"""CEL's own functions, macros and types (github.com/google/cel-spec, langdef), those that offbus adds to them, and the
names of scenarios."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A registered function. Checked when made: a mistake is an error at import, naming the function."""

    name: str
    """As expressions spell it."""
    summary: str
    """One line."""
    call: Callable[..., Any]
    """What answers. Its parameters are positional and annotated, and so is its result.

    Pure and quick: it is called when a scenario is only looked at, with what a stranger's file says, and again each
    time that an expression is evaluated. So it reads no file of the user's, changes nothing, and has no clock. For what
    has no answer it raises ValueError, whose text is the error of the expression; None is one, too.
    """

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isidentifier() and self.name.islower()):
            raise ValueError(f"function {self.name!r}: the name must be a lower-case identifier")
        if self.name in RESERVED or "__" in self.name or self.name.startswith("_"):
            raise ValueError(f"function {self.name!r}: the name is taken by expressions themselves")
        if not callable(self.call):
            raise TypeError(f"function {self.name}: call must be a function, not {self.call!r}")
