"""The random drills of the laws: what Hypothesis makes up and prints. law_run.py plays them.

Whatever is first in a list of choices here is the plainest: Hypothesis shrinks towards it.
"""

from typing import Any, NamedTuple

from hypothesis import strategies as st
from pydantic import Field

from offbus import dag
from tests.kits.engine.world_acts import ActParams, Brief, Effect
from tests.kits.engine.world_undos import UNDO_TYPES

__all__ = ["Around", "PlannedStep", "around", "steps"]

ENDINGS = ["passes"] * 24 + [
    "failed",
    "errored",
    "retry",
    "bug",
    "several",
    "hangs",
    "aborts",
    "stubborn",
    "stubborn",
    "stubborn",
    "until stopped",
    "nonsense",
]
PAUSES = (0.0, 0.0, 0.25, 1.0, 7.0, 40.0)
UNDOS = ["restore_key"] * 14 + ["disarm"] * 28 + ["slow"] * 14 + list(UNDO_TYPES)


class PlannedStep(Brief):
    """One step."""

    id: str
    needs: tuple[str, ...] = ()
    observes: bool = False
    background: bool = False
    always: bool = False
    keep_going: bool = False
    when: bool = True
    timeout_s: float = 1000
    attempts: int = 1
    expects: bool | None = None
    """What its expectation comes to."""
    cleans: tuple[str, ...] = ()
    """It is a `cleanup` of these; otherwise it acts."""
    act: ActParams = ActParams()


class Around(Brief):
    """The drill around the steps."""

    timeout_s: float = 10_000
    undo_timeout_s: float = 300
    expects: bool | None = None
    """What its expectation comes to."""
    stops_above_1: float | None = None
    """It is stopped when the level was above 1 for so many seconds."""
    before: dict[str, str] = Field(default={})
    """What is in the world."""
    signal_at: float | None = None


def one_in(number: int) -> st.SearchStrategy[bool]:
    """True so often."""
    return st.sampled_from([False] * (number - 1) + [True])


def expectation(*, every: int, false: int) -> st.SearchStrategy[bool | None]:
    """What an expectation comes to: one of `every` drills or steps has one, one of `false` of these is false."""
    return st.sampled_from([None] * (every - 1) * false + [True] * (false - 1) + [False])


EFFECTS = st.lists(
    st.builds(
        Effect,
        key=st.sampled_from([""] * 7 + ["shared"]),
        undo=st.sampled_from(UNDOS),
        takes=st.sampled_from([0.0, 0.0, 0.5]),
        meddled=one_in(30),
    ),
    max_size=2,
).map(tuple)


def acts(*, background: bool) -> st.SearchStrategy[ActParams]:
    """What a step does. A background step goes on until it is asked to stop."""
    return st.builds(
        ActParams,
        effects=EFFECTS,
        before=st.sampled_from(PAUSES),
        after=st.sampled_from(PAUSES),
        ending=st.just("until stopped") if background else st.sampled_from(ENDINGS),
        rude=one_in(4),
        fault=one_in(3),
        level=st.sampled_from([None] * 12 + [0.0, 1.0, 2.0]),
    )


ACTS = {background: acts(background=background) for background in (False, True)}
SETTINGS = st.fixed_dictionaries(
    {
        "observes": st.booleans(),
        "keep_going": one_in(5),
        "when": one_in(12).map(lambda skipped: not skipped),
        "timeout_s": st.sampled_from([1000.0, 5.0, 30.0]),
        "attempts": st.sampled_from([1] * 10 + [2, 3]),
        "expects": expectation(every=6, false=10),
    }
)
EARLIER = st.lists(st.integers(0, 23), max_size=2)
SOME = st.lists(st.integers(0, 11), unique=True, max_size=8)


class Draft(NamedTuple):
    """A step that does not know yet which ones are before it: those that it names are counted backwards from it."""

    needs: list[int]
    cleans: list[int] | None
    step: dict[str, Any]


@st.composite
def drafts(draw: st.DrawFn, *, first: bool = False) -> Draft:
    """One step."""
    needs = [] if first else [[0], [0], [0], []][draw(st.integers(0, 3))] + draw(EARLIER)
    cleans = draw(SOME) if needs and draw(one_in(4)) else None
    background = cleans is None and draw(one_in(6))
    step = draw(SETTINGS) | {"background": background, "always": not background and draw(one_in(8))}
    if cleans is None:
        step["act"] = draw(ACTS[background])
    return Draft(needs, cleans, step)


def steps(least: int) -> st.SearchStrategy[list[PlannedStep]]:
    """The steps of a drill, at least so many."""
    more = st.lists(drafts(), min_size=least - 1, max_size=24)
    return st.tuples(drafts(first=True), more).map(lambda all_: planned([all_[0], *all_[1]]))


def planned(made: list[Draft]) -> list[PlannedStep]:
    """With names."""
    needs: dict[str, list[str]] = {}
    found = []
    for index, draft in enumerate(made):
        name = f"s{index}"
        needs[name] = list(dict.fromkeys(f"s{index - 1 - back % index}" for back in draft.needs))
        cleans = () if draft.cleans is None else _ancestors(name, needs, draft.cleans)
        step = draft.step | {"act": _named(name, draft.step["act"])} if not cleans else draft.step
        found.append(PlannedStep(id=name, needs=tuple(needs[name]), cleans=cleans, **step))
    return found


def _ancestors(name: str, needs: dict[str, list[str]], which: list[int]) -> tuple[str, ...]:
    """Some of them, at least one."""
    all_ = dag.build(needs).ancestors(name)
    return tuple(one for back, one in enumerate(reversed(all_)) if back in which) or tuple(all_[:1])


def _named(step: str, act: ActParams) -> ActParams:
    """Each effect on a key of its own, unless it is the shared one, with a value that tells whose it is."""
    effects = (
        effect.model_copy(update={"key": effect.key or f"{step}.{index}", "value": f"{step}'s"})
        for index, effect in enumerate(act.effects)
    )
    return act.model_copy(update={"effects": tuple(effects)})


def around() -> st.SearchStrategy[Around]:
    """The drill around the steps."""
    return st.builds(
        Around,
        timeout_s=st.sampled_from([10_000.0, 10.0, 60.0]),
        undo_timeout_s=st.sampled_from([300.0, 5.0, 8.0, 60.0]),
        expects=expectation(every=3, false=6),
        stops_above_1=st.sampled_from([None] * 4 + [0.0, 1.0]),
        before=st.sampled_from([{}, {"shared": "old"}]),
        signal_at=st.none()
        | st.builds(lambda eighths, by: eighths / 8 * by, st.integers(0, 59), st.integers(1, 4)),
    )
