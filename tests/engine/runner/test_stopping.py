"""How a run is stopped: signals, guards, stop conditions, lost leases; and how soon its faults are disarmed."""

import anyio
import pytest
import trio

from offbus.errors import StepError
from offbus.exits import Exit
from offbus.runner.disarm_on_stop import FAST_DISARM_AFTER
from offbus.runner.run_end import CLOSING
from offbus.runner.scheduler import GRACE
from offbus.runner.undo_runner import ATTEMPTS, BACKOFF, LEAST
from tests.kits.engine import world as kit
from tests.kits.engine.player import outcomes
from tests.kits.virtual_time import VirtualClock, play

FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}"


def seconds(event):
    return event["mono_ns"] / 1e9


def first(drill, kind, **wanted):
    return next(
        e for e in drill.events if e["kind"] == kind and all(e["data"].get(k) == v for k, v in wanted.items())
    )


def signal_at(step, *names):
    """Signals as soon as a step has started."""

    def interrupt(session, event):
        if event["kind"] == "step_started" and event.get("step") == step:
            for name in names:
                session.stop(name)

    return interrupt


@pytest.mark.guarantee("G9")
@pytest.mark.timer("engine/offbus/runner/disarm_on_stop.py")
def test_faults_are_disarmed_though_a_step_does_not_end(drill):
    """The step shields itself for a minute; the fault is off after a quarter of a second, and is looked at again."""
    played = drill(
        f"""{FAULT}
        {{id: rude, uses: shield, with: {{seconds: 60}}}}""",
        on_event=signal_at("rude", "SIGINT"),
    )
    report = played.play()
    stopped, undone = first(played, "stopped"), first(played, "undo_started")
    assert seconds(undone) - seconds(stopped) == pytest.approx(FAST_DISARM_AFTER.total_seconds(), abs=0.01)
    assert undone["data"]["by"] == "stop"
    assert [one.by for one in report.undos[0].tries] == ["stop"]
    assert (report.exit, played.world) == (Exit.INTERRUPTED, {})


@pytest.mark.guarantee("G5")
def test_a_fault_of_the_step_that_does_not_end_is_disarmed_again(drill):
    """Its request was under way when it was disarmed, so that it took effect afterwards."""

    def interrupt(session, event):
        if event["kind"] == "undo_recorded":
            session.stop("SIGINT")

    played = drill("{id: rude, uses: shield, with: {seconds: 5, key: f}}", on_event=interrupt)
    report = played.play()
    assert [(one.by, one.result) for one in report.undos[0].tries] == [
        ("stop", "nothing"),
        ("runner", "restored"),
    ]
    assert played.world == {}


QUICK = "\n".join(
    ["{id: fault, uses: set_key, with: {key: f, fault: true}}"]
    + [f"{{id: quick{number}, uses: set_key, with: {{key: k{number}}}}}" for number in range(100)]
)


@pytest.mark.parametrize(("kind", "ends"), [("step_started", "step_ended"), ("undo_started", "undo_ended")])
def test_a_signal_is_heard_in_a_long_sequence_that_never_waits(drill, kind, ends):
    """The kernel's signal becomes a callback of the event loop, which must have its turn."""
    sent = []

    def interrupt(session, event):
        if event["kind"] == kind and not sent:
            sent.append(event["seq"])
            trio.lowlevel.current_trio_token().run_sync_soon(session.stop, "SIGINT")

    played = drill(QUICK, on_event=interrupt)
    report = played.play()
    heard = first(played, "stopped")["seq"]
    assert sum(event["kind"] == ends and event["seq"] < heard for event in played.events) < 50
    assert (report.exit, played.world) == (Exit.INTERRUPTED, {})


def test_faults_are_disarmed_at_once_when_the_steps_end(drill):
    played = drill(
        f"""{{id: beside, uses: watch, background: true, with: {{linger: 9}}}}
        {FAULT}
        {{id: slow, uses: wait, with: {{seconds: 99}}}}""",
        on_event=signal_at("slow", "SIGINT"),
    )
    played.play()
    assert seconds(first(played, "undo_started")) == seconds(first(played, "stopped"))


@pytest.mark.guarantee("G9")
def test_nothing_more_is_changed_after_a_stop(drill):
    """A step that swallows its cancellation is refused its next effect."""
    played = drill(
        "{id: rude, uses: shield, with: {seconds: 1, late: k}}", on_event=signal_at("rude", "SIGTERM")
    )
    report = played.play()
    assert "the run is being stopped" in (report.steps[0].message or "")
    assert not any(e["kind"] == "undo_recorded" for e in played.events)


@pytest.mark.guarantee("G9")
def test_a_second_signal_of_another_kind_changes_nothing(drill):
    played = drill(
        f"{FAULT}\n{{id: slow, uses: wait, with: {{seconds: 99}}}}",
        on_event=signal_at("slow", "SIGINT", "SIGTERM"),
    )
    report = played.play()
    assert [reason for reason in report.reasons if "interrupted" in reason] == ["interrupted by SIGINT"]


@pytest.mark.guarantee("G10")
def test_a_signal_after_a_guard_decides_the_exit_code(drill):
    def interrupt(session, event):
        if event["kind"] == "stopped" and event["data"]["cause"] == "guard":
            session.stop("SIGINT")

    report = drill(f"{FAULT}\n{{id: stop, uses: abort}}", on_event=interrupt).play()
    assert report.exit == Exit.INTERRUPTED
    assert "too many" in report.reasons[0]


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("wrapped", [False, True], ids=["", "wrapped in another environment"])
def test_a_lost_lease_is_noticed_before_the_next_effect(drill, monkeypatch, wrapped):
    """The runner was suspended: its environment finds out when it is asked whether it may change anything."""
    played = drill(
        f"""{FAULT}
        {{id: again, uses: set_key, with: {{key: g}}}}""",
        wrapped=wrapped,
    )

    async def lost(_self):
        raise StepError("the lease of fault f expired while the runner was suspended")

    def lose(_session, event):
        if event["kind"] == "step_ended" and event.get("step") == "fault":
            monkeypatch.setattr(kit.World, "may_change", lost)

    played.on_event = lose
    report = played.play()
    assert outcomes(report) == {"fault": "passed", "again": "errored"}
    assert "expired while the runner was suspended" in report.reasons[0]
    assert (report.exit, played.world) == (Exit.COULD_NOT_RUN, {})
    assert len(report.undos) == 1


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/disarm_on_stop.py")
def test_always_steps_leave_half_of_the_budget_to_the_undo(drill):
    played = drill(
        f"""{FAULT}
        {{id: collect, uses: wait, always: true, with: {{seconds: 999}}}}""",
        head="undo_timeout: 60s",
    )
    report = played.play()
    assert outcomes(report)["collect"] == "cancelled"
    assert seconds(first(played, "undo_started")) == pytest.approx(30, abs=0.01)
    assert played.world == {}


@pytest.mark.guarantee("G7")
def test_a_failing_always_step_keeps_no_other_from_running(drill):
    report = drill(
        f"""{FAULT}
        {{id: bad, uses: set_key, always: true, with: {{key: k, fail: failed}}}}
        {{id: collect, uses: wait, always: true, with: {{seconds: 1}}}}
        {{id: after, uses: wait, always: true, needs: [bad], with: {{seconds: 1}}}}"""
    ).play()
    assert outcomes(report) == {"fault": "passed", "bad": "failed", "collect": "passed", "after": "passed"}


@pytest.mark.guarantee("G6")
def test_a_step_after_an_always_step_waits_for_what_that_needs(drill):
    played = drill(
        f"""{FAULT}
        {{id: slow, uses: wait, with: {{seconds: 9}}}}
        {{id: collect, uses: wait, always: true, with: {{seconds: 1}}}}
        {{id: later, uses: wait, with: {{seconds: 1}}}}"""
    )
    assert played.play().verdict == "passed"
    starts = {e["step"]: seconds(e) for e in played.events if e["kind"] == "step_started"}
    assert starts["later"] >= 9
    assert starts["collect"] >= 10


@pytest.mark.timer("engine/offbus/runner/scheduler.py")
def test_a_background_step_alone_has_its_grace_and_no_more(drill):
    report = drill("{id: beside, uses: watch, background: true, timeout: 1h, with: {linger: 3600}}").play()
    assert report.duration_s == pytest.approx(GRACE.total_seconds(), abs=0.1)


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/undo_registry.py", "engine/offbus/runner/undo_runner.py")
def test_undos_that_hang_have_their_bound_retries_and_the_least_when_the_budget_is_spent(drill):
    steps = "\n".join(f"{{id: s{n}, uses: set_key, with: {{key: k{n}, undo: hang}}}}" for n in range(4))
    played = drill(f"{steps}\n{FAULT}", head="undo_timeout: 20s")
    report = played.play()
    assert [len(undo.tries) for undo in report.undos] == [1, 1, 1, ATTEMPTS, 1]
    assert report.duration_s <= 20 + 4 * LEAST + 1
    hung = report.undos[0].tries[0]
    assert (hung.ended.mono_ns - hung.started.mono_ns) / 1e9 == pytest.approx(LEAST, abs=0.01)
    assert report.undos[-1].result == "restored"
    pauses = report.undos[3].tries
    between = (pauses[1].started.mono_ns - pauses[0].ended.mono_ns) / 1e9
    assert between == pytest.approx(BACKOFF.total_seconds(), abs=0.01)


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/run_end.py")
def test_an_environment_that_does_not_close_is_given_up(drill, monkeypatch):
    async def never(_self, *, finished):
        await anyio.sleep_forever()

    monkeypatch.setattr(kit.World, "close", never)
    report = drill(FAULT).play()
    assert report.duration_s == pytest.approx(CLOSING.total_seconds(), abs=0.1)
    assert report.exit == Exit.RESIDUE


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/session.py")
def test_opening_is_inside_the_timeout(drill, monkeypatch):
    async def never(_self):
        await anyio.sleep_forever()

    monkeypatch.setattr(kit.World, "fingerprint", never)
    report = drill(FAULT, head="timeout: 30s").play()
    assert report.exit == Exit.COULD_NOT_RUN
    assert report.duration_s == pytest.approx(30, abs=0.1)


def test_the_virtual_clock_is_the_loops():
    async def later():
        await anyio.sleep(5)
        return VirtualClock().mono_ns()

    assert play(later) >= 5e9


TIMES_OUT = "{id: seen, uses: wait, timeout: 5s, with: {seconds: 60}}"


async def went_dark(_self):
    return "nothing came from the world for 75 s, though it changed"


async def says_nothing(_self):
    await anyio.sleep_forever()


@pytest.mark.guarantee("G23")
def test_an_observation_that_ran_out_of_time_seeing_is_the_worlds_failure(drill):
    report = drill(f"{FAULT}\n{TIMES_OUT}").play()
    assert outcomes(report)["seen"] == "timed_out"
    assert report.exit == Exit.FAILED


@pytest.mark.guarantee("G23")
@pytest.mark.timer("engine/offbus/runner/step_runner.py")
@pytest.mark.parametrize(
    ("missed_changes", "told"),
    [
        (went_dark, "was not seen within 5 s, and could not have been: nothing came from the world for 75 s"),
        (says_nothing, "could not have been: the environment did not answer within"),
    ],
    ids=["something was missed", "no answer"],
)
def test_an_observation_that_ran_out_of_time_blind_is_an_error(drill, monkeypatch, missed_changes, told):
    monkeypatch.setattr(kit.World, "missed_changes", missed_changes)
    report = drill(f"{FAULT}\n{TIMES_OUT}").play()
    assert outcomes(report)["seen"] == "errored"
    assert told in report.reasons[0]
    assert (report.exit, report.verdict) == (Exit.COULD_NOT_RUN, "errored")


@pytest.mark.timer("engine/offbus/runner/step_runner.py")
def test_a_signal_ends_the_look_at_what_was_seen(drill, monkeypatch):
    """Whoever interrupts does not wait for an environment that does not answer."""

    async def interrupted(_self):
        played._session.stop("SIGINT")
        await anyio.sleep_forever()

    monkeypatch.setattr(kit.World, "missed_changes", interrupted)
    played = drill(f"{FAULT}\n{TIMES_OUT}")
    report = played.play()
    assert report.exit == Exit.INTERRUPTED
    assert seconds(first(played, "undo_started")) == pytest.approx(5, abs=0.01)
