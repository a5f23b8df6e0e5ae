"""An environment that outgrows what a journal keeps of it is compared all the same; what is not compared is told."""

import pytest

from offbus.exits import Exit
from offbus.journal.bounds import MOST_VALUES, WHOLE_BYTES
from offbus.report.model import Report
from tests.kits.engine.player import finish
from tests.kits.engine.world import World

SET = "{id: one, uses: set_key, with: {key: one}}"
TOO_LONG, TOO_MANY = "x" * WHOLE_BYTES, [[]] * (MOST_VALUES + 1)
KEPT = "compared with the one from before the run, and not kept: an event of kind fingerprint"


def grown(played, value, **others) -> Report:
    """Play it; while everything is closed, others put things into the world."""

    def on_event(session, event):
        if event["kind"] == "phase" and event["data"]["name"] == "close":
            played.storage.items = {**played.world, "of others": value, **others}

    played.on_event = on_event
    return played.play()


def told(report: Report) -> list[str]:
    return [one.what for one in report.timeline if one.subject == "fingerprint"]


@pytest.mark.parametrize(("value", "why"), [(TOO_LONG, "too large"), (TOO_MANY, "too many values")])
def test_each_difference_is_told_by_its_name(drill, value, why):
    played = drill(SET)
    played.prepare(kept="as it was", changed="before")
    report = grown(played, value, changed="after")
    assert {one.item: one.detail[:30] for one in report.residue} == {
        "of others": f"was not there, is {value!r:.200}"[:30],
        "changed": "was 'before', is 'after'",
    }
    assert report.exit == Exit.RESIDUE
    (said,) = told(report)
    assert KEPT in said
    assert why in said


def test_what_others_have_grown_is_no_residue(drill, monkeypatch):
    why = {"of others": "the run made none of that name"}
    monkeypatch.setattr(
        World, "external_change", lambda _self, item, *_: why.get(item), raising=False
    )  # as an environment that can tell
    report = grown(drill(SET), TOO_LONG)  # it has no fault: it is vacuous
    assert (report.residue, report.exit) == ([], Exit.FAILED)
    assert len(told(report)) == 1, "all of it was compared, and the journal does not have it"
    (change,) = [one for one in report.timeline if one.lane == "others"]
    assert change.subject == "of others"


def test_what_cannot_be_compared_is_residue_that_says_so(drill):
    deep: list = []
    for _ in range(200):
        deep = [deep]
    report = grown(drill(SET), deep)
    (left,) = report.residue
    assert (left.item, report.exit) == ("fingerprint", Exit.RESIDUE)
    assert "nothing was compared with the state before the run: " in left.detail
    assert "nested deeper than 100 levels" in left.detail


async def unreadable(_self):
    raise OSError("it answers nothing")


def test_a_damaged_run_whose_environment_cannot_be_read_claims_nothing_about_it(killed, monkeypatch):
    _played, folder, lines = killed
    folder.journal.write_bytes(b"".join(line for line in lines if b'"kind":"step_started"' not in line))
    monkeypatch.setattr(World, "fingerprint", unreadable)
    left = {one.item: one.detail for one in finish(folder).residue}
    assert "nothing was compared: the environment cannot be read back: OSError" in left["fingerprint"]
    assert "the environment cannot be compared with its state before" in left["the journal"]
