"""The guarantees of docs/guarantees.md, each as a check over the journal, the report and the world of one drill."""

from offbus import dag
from offbus.exits import Exit
from offbus.journal.events import Event
from offbus.journal.reader import read_journal
from offbus.language.scenario import Step
from offbus.report.fold import Fold, fold
from offbus.report.model import Report
from offbus.runner.disarm_on_stop import FAST_DISARM_AFTER
from offbus.runner.run_end import CLOSING
from offbus.runner.undo_runner import LEAST
from tests.kits.engine.law_run import Case
from tests.kits.engine.world_acts import STUBBORN_S, ActParams

SURE = ("restore_key", "disarm")
"""Undos that work at the first try: their effect is always undone."""
TAKEN = 0.05
"""Virtual seconds that nothing accounts for."""


class Story:
    """A drill's journal, by step and by undo."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.events = case.events
        self.steps: dict[str, Step] = {step.id: step for step in case.scenario.steps}
        self.started = self._first("step_started")
        self.ready = self._first("step_ready")
        self.ended = self._first("step_ended")
        self.stops = [event for event in self.events if event["kind"] == "stopped"]
        self.recorded = {e["data"]["undo"]: e for e in self.events if e["kind"] == "undo_recorded"}

    def _first(self, kind: str) -> dict[str, Event]:
        found: dict[str, Event] = {}
        for event in self.events:
            if event["kind"] == kind:
                found.setdefault(event.get("step", ""), event)
        return found

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["kind"] == kind]

    def satisfied(self, step: str) -> int | None:
        """Number of the event by which what needs a step may start."""
        end, ready = self.ended.get(step), self.ready.get(step)
        data = end["data"] if end else {}
        good = data.get("outcome") == "passed" or data.get("because") == "when"
        numbers = [event["seq"] for event in (ready, end if good else None) if event is not None]
        return min(numbers, default=None)

    def needs(self, step: Step) -> set[str]:
        """What a step waits for: an `always` step among the needs of another stands for its own needs."""
        found, todo = set(), list(step.needs)
        while todo:
            need = self.steps[todo.pop()]
            if need.always and not step.always:
                todo.extend(need.needs)
            else:
                found.add(need.id)
        return found


def steps_have_one_outcome(story: Story, report: Report) -> None:
    ends = [event["step"] for event in story.of("step_ended")]
    assert sorted(ends) == sorted(story.steps), "every step ends exactly once"
    order = dag.build({step.id: step.needs for step in story.case.scenario.steps}).order
    assert [step.id for step in report.steps] == list(order), "reported in plan order"


def steps_wait_for_their_needs(story: Story) -> None:
    for name, event in story.started.items():
        for need in story.needs(story.steps[name]):
            if story.steps[name].always:
                assert story.ended[need]["seq"] < event["seq"], f"{name} before {need} had ended"
            else:
                satisfied = story.satisfied(need)
                assert satisfied is not None, f"{name} without {need}"
                assert satisfied < event["seq"], f"{name} before {need}"


def nothing_starts_after_a_failure(story: Story) -> None:
    """Guarantee: nothing new begins in the main part once a step that is not keep_going failed."""
    for name, end in story.ended.items():
        step = story.steps[name]
        bad = end["data"]["outcome"] in ("failed", "errored", "timed_out")
        if bad and not step.keep_going and not step.always:
            late = [
                n for n, e in story.started.items() if e["seq"] > end["seq"] and not story.steps[n].always
            ]
            assert not late, f"{late} began after {name} had {end['data']['outcome']}"


def nothing_is_changed_after_a_stop(story: Story) -> None:
    """From a signal, a guard or a stop condition on."""
    at_once = [e["seq"] for e in story.stops if e["data"]["cause"] in ("signal", "guard")]
    if at_once:
        late = [n for n, e in story.recorded.items() if e["seq"] > min(at_once)]
        assert not late, f"undos {late} were recorded after the stop"
        begun = [name for name, event in story.started.items() if event["seq"] > min(at_once)]
        assert not begun, f"{begun} began after the stop"


def undos_wait_for_their_steps(story: Story) -> None:
    for event in story.of("undo_started"):
        if event["data"]["by"] == "runner":
            assert story.ended[event["step"]]["seq"] < event["seq"]
        elif event["data"]["by"] == "stop":
            assert any(stop["seq"] < event["seq"] for stop in story.stops)


def undos_have_two_passes(story: Story) -> None:
    final = [e for e in story.of("undo_started") if e["data"]["by"] == "runner"]
    order = list(dict.fromkeys(e["data"]["undo"] for e in final))
    phases = [story.recorded[number]["data"]["phase"] for number in order]
    assert phases == sorted(phases), "all disarms go first"
    restores = [number for number, phase in zip(order, phases, strict=True) if phase == "restore"]
    assert restores == sorted(restores, reverse=True), "then the rest in reverse"


def retries_begin_with_nothing_to_undo(story: Story) -> None:
    """What the attempt before did is undone."""
    for again in (event for event in story.of("step_started") if event["data"]["attempt"] > 1):
        settled = {
            event["data"]["undo"]
            for event in story.of("undo_ended")
            if event["seq"] < again["seq"] and event["data"]["result"] in ("restored", "nothing")
        }
        done = {
            n for n, e in story.recorded.items() if e["step"] == again["step"] and e["seq"] < again["seq"]
        }
        assert done <= settled, f"{again['step']} began again with undos {done - settled} open"


def undos_are_all_tried(story: Story, report: Report) -> None:
    for undo in report.undos:
        assert undo.tries, f"{undo.describe} was never tried"
        assert sum(one.result == "restored" for one in undo.tries) <= 1, f"{undo.describe} took effect twice"
        if undo.result not in ("restored", "nothing"):
            assert any(one.item == undo.describe for one in report.residue), (
                f"{undo.describe} is not reported"
            )
    tries = [e for e in story.events if e["kind"] in ("undo_started", "undo_ended")]
    for number in story.recorded:
        mine = [(e["kind"], e["data"]["attempt"]) for e in tries if e["data"]["undo"] == number]
        one_by_one = [(kind, n + 1) for n in range(len(mine) // 2) for kind in ("undo_started", "undo_ended")]
        assert mine == one_by_one, f"tries of undo {number} overlap"


def the_world_is_as_before(case: Case, report: Report) -> None:
    """Every effect is undone, net once, or reported."""
    now, before = case.storage.items, case.before
    different = {key for key in now.keys() | before.keys() if now.get(key) != before.get(key)}
    reported = {one.item for one in report.residue}
    assert different <= reported, f"{different - reported} left behind in silence"
    assert (report.exit == Exit.RESIDUE) == bool(report.residue)
    assert case.folder.unfinished.exists() == bool(report.residue)
    for step in case.scenario.steps:
        params = step.params.static
        for effect in params.effects if isinstance(params, ActParams) else ():
            if effect.undo in SURE and effect.key != "shared" and not effect.meddled:
                assert effect.key not in different, f"{effect.key} was not undone"


def it_ends_within_its_budgets(story: Story, report: Report) -> None:
    """timeout + undo_timeout, and the slack that docs/guarantees.md names."""
    scenario = story.case.scenario
    restores = sum(undo.phase == "restore" for undo in report.undos)
    slack = (
        LEAST * (restores + 1)
        + CLOSING.total_seconds()
        + 2 * STUBBORN_S
        + FAST_DISARM_AFTER.total_seconds()
        + 1
    )
    inside = sum(undo_time(event) for event in undone_inside_steps(story))
    assert (
        report.duration_s
        <= scenario.timeout.total_seconds() + scenario.undo_timeout.total_seconds() + slack + inside
    )


def undone_inside_steps(story: Story) -> list[Event]:
    return [e for e in story.of("undo_started") if e["data"]["by"] in ("cleanup", "retry")]


def undo_time(event: Event) -> float:
    """The longest that a try takes, with the pause after it."""
    return 30.0 + 0.5


def faults_are_disarmed_at_once(story: Story) -> None:
    """Within 2 s of the first signal: the first try of every armed fault's undo begins."""
    signals = [event for event in story.stops if event["data"]["cause"] == "signal"]
    if not signals or story.stops[0] is not signals[0]:
        return
    at = signals[0]
    for number, record in story.recorded.items():
        if record["data"]["phase"] != "disarm" or record["seq"] > at["seq"]:
            continue
        tries = [e for e in story.of("undo_started") if e["data"]["undo"] == number]
        settled = [
            e
            for e in story.of("undo_ended")
            if e["data"]["undo"] == number
            and e["data"]["result"] in ("restored", "nothing")
            and e["seq"] < at["seq"]
        ]
        busy = any(e["seq"] < at["seq"] for e in tries)
        if settled or busy:
            continue
        first = min(e["mono_ns"] for e in tries)
        assert (first - at["mono_ns"]) / 1e9 <= FAST_DISARM_AFTER.total_seconds() + TAKEN, (
            f"undo {number} was late"
        )


def the_report_is_the_fold(case: Case, report: Report) -> None:
    journal = read_journal(case.folder.journal)
    assert not journal.damage
    assert not journal.torn_bytes
    assert fold(journal.events) == report


def prefixes_fold(case: Case, every: int) -> None:
    """Any prefix is a valid report of an aborted run."""
    state = Fold()
    for number, event in enumerate(case.events[:-1], start=1):
        state.apply(event)
        if number % every == 1 or number == len(case.events) - 1:
            report = state.report()
            assert (report.verdict, report.complete) == ("aborted", False)
            assert Report.model_validate_json(report.model_dump_json()) == report


def the_exit_code_has_its_precedence(story: Story, report: Report) -> None:
    """4 > 130 > 3 > 1, computed from the journal without the verdict's code."""
    causes = {event["data"]["cause"] for event in story.stops}
    ends = {name: event["data"] for name, event in story.ended.items()}
    kinds = {name: story.steps[name].type.kind.value for name in ends}
    expectations = [event["data"]["result"] for event in story.of("expectation")]
    proven = {event["data"]["fault"] for event in story.of("fault_proven")}
    bad = [n for n, d in ends.items() if d["outcome"] != "passed" and d.get("because") != "when"]
    if story.of("residue"):
        wanted = Exit.RESIDUE
    elif story.case.signalled:
        wanted = Exit.INTERRUPTED
    elif causes or any(
        d["outcome"] == "errored" or (d["outcome"] == "timed_out" and kinds[n] == "action")
        for n, d in ends.items()
    ):
        wanted = Exit.COULD_NOT_RUN
    elif bad or "false" in expectations or "error" in expectations or not proven:
        wanted = Exit.FAILED
    else:
        wanted = Exit.PASSED
    assert report.exit == wanted
