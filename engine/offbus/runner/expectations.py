"""Evaluates expectations and journals each result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from offbus.journal.events import Outcome
from offbus.journal.kinds import EXPECTATION
from offbus.journal.schemas import ExpectationResult
from offbus.journal.writer import JournalWriter
from offbus.runner.attempts import Result

if TYPE_CHECKING:
    from offbus.language.cel.scope import Scope
    from offbus.language.scenario import Expectation

__all__ = ["judge_all"]


def judge_all(
    journal: JournalWriter,
    expect: Sequence["Expectation"],
    scope: "Scope",
    result: Result,
    *,
    step: str | None,
) -> Result:
    """`result`, or the same as failed when an expectation is false or cannot be evaluated. All are evaluated."""
    unmet = [why for one in expect if (why := _judge(journal, one, scope, step)) is not None]
    if not unmet:
        return result
    return replace(result, outcome=Outcome.FAILED, message="; ".join(unmet))


def _judge(journal: JournalWriter, one: "Expectation", scope: "Scope", step: str | None) -> str | None:
    from offbus.language.cel.expressions import EvaluationError

    try:
        held, detail = one.expression.evaluate(scope), ""
        word: ExpectationResult = "true" if held else "false"
    except EvaluationError as err:
        word, detail = "error", err.why
    values = ""
    if word == "false":
        values = ", ".join(f"{name.path} is {name.fetch(scope)}" for name in one.expression.names)
    judged = EXPECTATION({"text": one.text, "result": word, "detail": detail or values})
    journal.append(judged, step=step)
    if word == "true":
        return None
    return f"expected {one.text}, but {detail or values or 'it is false'}"
