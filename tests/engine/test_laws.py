"""The laws of the engine, over random drills on virtual time: docs/guarantees.md names what is checked here.

How many cases: 1,000 by default, 4,000 in CI, 10,000 in `make test-long` (OFFBUS_LAWS). They are split into parts, so
that a failure says early where it is.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from offbus.journal.reader import read_journal
from offbus.open_run import opened
from offbus.recovery.recover import recover
from offbus.report.fold import fold
from offbus.report.model import Report
from offbus.runs import RunFolder
from tests.kits.engine import law_checks as law
from tests.kits.engine.law_case import Around, PlannedStep, around, steps
from tests.kits.engine.law_run import Case, case_of
from tests.kits.virtual_time import VirtualClock, play

PARTS = 20
CASES = int(os.environ.get("OFFBUS_LAWS", "1000"))
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Journals are fsynced: a folder in memory makes that cheap, and changes nothing else."""


@contextmanager
def played(steps: list[PlannedStep], around: Around) -> Iterator[tuple[Case, Report]]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        case = case_of(Path(folder), steps, around)
        yield case, case.play()


def all_laws(case: Case, report: Report, every: int) -> None:
    story = law.Story(case)
    law.steps_have_one_outcome(story, report)
    law.steps_wait_for_their_needs(story)
    law.nothing_starts_after_a_failure(story)
    law.nothing_is_changed_after_a_stop(story)
    law.undos_wait_for_their_steps(story)
    law.undos_have_two_passes(story)
    law.retries_begin_with_nothing_to_undo(story)
    law.undos_are_all_tried(story, report)
    law.the_world_is_as_before(case, report)
    law.it_ends_within_its_budgets(story, report)
    law.faults_are_disarmed_at_once(story)
    law.the_report_is_the_fold(case, report)
    law.prefixes_fold(case, every)
    law.the_exit_code_has_its_precedence(story, report)


def killed_and_recovered(case: Case, at: int, torn: bool) -> None:
    """The runner is killed right before it writes event `at` + 1; another process finishes."""
    lines = case.folder.journal.read_bytes().splitlines(keepends=True)
    cut = 1 + at % (len(lines) - 1)
    folder = RunFolder(case.folder.path.with_name("20260101T000001Z-law-cafe0002"))
    folder.path.mkdir()
    folder.unfinished.touch()
    folder.journal.write_bytes(b"".join(lines[:cut]) + (lines[cut][:-9] if torn else b""))
    case.storage.items = case.worlds[cut]
    with opened(folder) as run:
        report = play(recover, run, VirtualClock(), registry=case.registry)
    law.the_world_is_as_before(Case(folder, case.scenario, None, case.storage, case.before), report)
    journal = read_journal(folder.journal)
    assert (journal.damage, journal.torn_bytes) == ([], 0)
    assert fold(journal.events) == report
    if report.residue:
        return
    with opened(folder) as run:
        again = play(recover, run, VirtualClock(), registry=case.registry)
    assert again == report, "recovering twice changes nothing more"


@pytest.mark.guarantee("G1", "G2", "G4", "G5", "G6", "G7", "G8", "G9", "G10", "G12")
@pytest.mark.parametrize("part", range(PARTS))
def test_the_laws_hold_for_random_drills(part: int) -> None:
    @settings(
        max_examples=max(1, CASES // PARTS),
        database=None,
        derandomize=False,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(steps(10 if part % 2 else 1), around(), st.integers(0, 10_000), st.booleans())
    def check(steps: list[PlannedStep], around: Around, killed_at: int, torn: bool) -> None:
        with played(steps, around) as (case, report):
            all_laws(case, report, every=1 + killed_at % 40)
            killed_and_recovered(case, killed_at, torn)

    check()


WANTED = (
    {"exit 0", "exit 1", "exit 3", "exit 4", "exit 130"}
    | {"passed", "failed", "errored", "timed_out", "skipped", "cancelled"}
    | {"restored", "nothing", "conflict"}
    | {'"runner"', '"cleanup"', '"retry"', '"stop"'}
)


class _AllSeenError(Exception):
    """Ends the search: making the other cases takes most of its time."""


def test_the_cases_are_not_all_alike() -> None:
    """The laws mean nothing if every random drill ends in the same way."""
    seen: set[str] = set()

    @settings(
        max_examples=1000,
        database=None,
        derandomize=True,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(steps(1) | steps(10), around())
    def look(steps: list[PlannedStep], around: Around) -> None:
        with played(steps, around) as (_case, report):
            seen.update({f"exit {report.exit}"} | {step.outcome for step in report.steps})
            seen.update(one.result for undo in report.undos for one in undo.tries)
            seen.update(json.dumps(one.by) for undo in report.undos for one in undo.tries)
        if seen >= WANTED:
            raise _AllSeenError

    with suppress(_AllSeenError):
        look()
    assert seen >= WANTED
