"""What `offbus plan` finds in the environment before a run. Nothing is changed.

What the environment journals meanwhile goes into a scratch journal that is thrown away.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import anyio

from offbus.abilities import ability
from offbus.cli.output import say
from offbus.errors import OffbusError, ungrouped
from offbus.exits import Exit
from offbus.journal.writer import JournalWriter
from offbus.language.plan import Plan, known_params
from offbus.preflight import Intent, PreflightCheck, RunsPreflight
from offbus.printable import printable
from offbus.runner.clock import SystemClock
from offbus.runner.recorder import RunRecorder

__all__ = ["checks_json", "checks_text", "exit_of", "preflight"]

MARKS = {"info": " ", "warning": "!", "error": "✗"}


def preflight(plan: Plan) -> Sequence[PreflightCheck] | None:
    """The environment's preflight checks; None when it has none."""
    opener = ability(plan.scenario.environment.type.opener, RunsPreflight)
    if opener is None:
        return None
    try:
        return anyio.run(partial(_look, opener, plan))
    except OffbusError as err:
        return [PreflightCheck("environment", err.message, "error", err.hint)]


def exit_of(checks: Sequence[PreflightCheck]) -> Exit:
    """3 when a run would be refused."""
    return Exit.COULD_NOT_RUN if any(one.level == "error" for one in checks) else Exit.PASSED


def checks_text(checks: Sequence[PreflightCheck]) -> str:
    """For a terminal."""
    return "\n".join(map(printable, _lines(checks)))


def checks_json(checks: Sequence[PreflightCheck]) -> list[dict[str, Any]]:
    """As `offbus plan --format json` prints them under `preflight`; keys are stable."""
    return [{"topic": one.topic, "text": one.text, "level": one.level, "hint": one.hint} for one in checks]


def _lines(checks: Sequence[PreflightCheck]) -> Iterator[str]:
    for topic, group in groupby(checks, key=lambda one: one.topic):
        yield f"  {topic}"
        for one in group:
            yield f"  {MARKS[one.level]} {one.text}"
            if one.hint:
                yield f"      {one.hint}"
    refused = sum(one.level == "error" for one in checks)
    yield (
        f"a run would be refused: {refused} reasons"
        if refused > 1
        else ("a run would be refused" if refused else "a run may start")
    )


async def _look(opener: RunsPreflight, plan: Plan) -> Sequence[PreflightCheck]:
    scenario = plan.scenario
    intents = [
        Intent(one.id, one.uses, known_params(one), one.type.load_preflight(), one.type.waits_for)
        for one in (planned.step for planned in plan.steps)
    ]
    with ExitStack() as held:
        scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="offbus-plan-"))
        journal = JournalWriter(Path(scratch, "journal.jsonl"), "plan", SystemClock())
        held.callback(journal.close)
        handle = RunRecorder(
            journal,
            1,
            {},
            environment=scenario.env_name,
            abort=lambda reason: say(f"offbus: {reason}", err=True),
            progress=lambda _step, _text: None,
        )
        with ungrouped():
            return await opener.preflight(
                scenario.environment.options,
                scenario.guards,
                intents,
                handle,
                scenario_dir=str(scenario.path.parent),
            )
