"""The wording of libraries' messages (docs/decisions/0014-private-parts.md): each is as we understand it.

A test that fails here after an upgrade says which part changed, who uses it, and what to do.
"""

from typing import Annotated, Any, Literal

import pytest
import yaml
from cel_expr_python import cel
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from offbus.language.cel import error_text, lexer, library_types, types
from offbus.language.check import pydantic_wording
from offbus.language.syntax import yaml_wording
from tests.kits.private_parts import (
    CEL_ERRORS,
    CEL_TYPES,
    PYDANTIC,
    YAML,
    changed,
    relied_on,
)

REFUSALS = {
    "1 +": ("OB401", "not an expression: it ends too early"),
    "1 = 2": ("OB401", "not an expression: token recognition error at: '= '"),
    "nope == 1": ("OB402", "there is no name 'nope'"),
    "1 == 1 &&\nnope(1)": ("OB402", "there is no function 'nope'"),
    "1 + 'a'": ("OB403", "`+` does not take int and string"),
    "duration('1s') > 3": ("OB403", "`>` does not take duration and int"),
    "0.5 == 1": ("OB404", "the integer literal 1 beside a double: CEL never mixes the two"),
}


@pytest.mark.parametrize("text", REFUSALS)
def test_cel_s_refusals_are_understood(text: str) -> None:
    part = "the wording of its RuntimeError for an expression that it refuses"
    with pytest.raises(RuntimeError) as refused:
        cel.NewEnv().compile(text)
    [(code, message, *_), *_] = error_text.of_refusal(str(refused.value), text, lexer.tokens(text))
    assert (code, message) == REFUSALS[text], changed(CEL_ERRORS, part)


def test_cel_s_errors_of_evaluation_are_understood() -> None:
    evaluate = cel.NewEnv(variables={"a.b": cel.Type.INT}).compile("1 / a.b").eval
    failed, unset = evaluate(data={"a.b": 0}), evaluate(data={})
    assert failed.type().name() == unset.type().name() == "ERROR", changed(
        CEL_ERRORS, "that an error is a value"
    )
    assert error_text.of_error(str(failed)) == "divide by zero", changed(CEL_ERRORS, "the text of an error")
    assert error_text.blames(str(unset), "a.b"), changed(
        CEL_ERRORS, "that an unset name is named in double quotes"
    )


def test_cel_s_notation_of_types_is_understood() -> None:
    notation = cel.NewEnv().compile("{'a': [duration('1s')]}").return_type()
    inner = types.CelType("list", (types.CelType("duration"),))
    wanted = types.CelType("map", (types.CelType("string"), inner))
    assert library_types.type_from(notation) == wanted, changed(
        CEL_TYPES, f"its notation of types ({notation})"
    )


def refuse(value: int) -> int:
    if value == 1:
        raise ValueError("no one")
    if value == 2:
        raise AssertionError("no two")
    return value


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    of_type: int = 0
    of_choice: Literal["a", "b"] = "a"
    checked: Annotated[int, AfterValidator(refuse)] = 0
    least: Annotated[int, Field(ge=0)] = 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"of_type": "x"}, "it must be a valid integer"),
        ({"least": -1}, "it must be greater than or equal to 0"),
        ({"checked": 1}, "no one"),
        ({"checked": 2}, "no two"),
    ],
    ids=str,
)
def test_pydantic_s_words_end_a_sentence_of_ours(data: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Strict.model_validate(data)
    assert pydantic_wording.said(refused.value.errors()[0]) == words, changed(
        PYDANTIC, "the wording of its errors"
    )


def test_pydantic_s_errors_tell_what_is_allowed() -> None:
    with pytest.raises(ValidationError) as refused:
        Strict.model_validate({"of_choice": "c"})
    with relied_on(PYDANTIC, "an error's `expected`"):
        assert pydantic_wording.allowed(refused.value.errors()[0]) == ["a", "b"]


PARSERS: dict[str, Any] = {"libyaml": yaml.CSafeLoader, "PyYAML's own": yaml.SafeLoader}


def problem_of(parser: Any, text: str) -> str:
    """What a parser says of a text that is no YAML."""
    with pytest.raises(yaml.MarkedYAMLError) as refused:
        list(yaml.parse(text, Loader=parser))
    return str(refused.value.problem)


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize(("text", "about"), [("a: b: c\n", '": "'), ("@x\n", "this character")], ids=repr)
def test_pyyaml_s_problems_are_understood(parser: Any, text: str, about: str) -> None:
    problem = problem_of(parser, text)
    assert about in (yaml_wording.hint(problem, text) or ""), changed(YAML, f"the wording of {problem!r}")


def test_libyaml_s_limit_of_nesting_is_understood() -> None:
    """Versions that have none are as well: the limit that is ours comes first."""
    problem, text = None, "[" * 20_000 + "]" * 20_000
    try:
        list(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as err:
        problem = str(err.problem)
    assert problem is None or yaml_wording.too_deep(problem), changed(YAML, f"the wording of {problem!r}")
