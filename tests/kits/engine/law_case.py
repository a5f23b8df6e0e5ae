"""The random drills of the laws: what Hypothesis makes up and prints. law_run.py plays them.

Whatever is first in a list of choices here is the plainest: Hypothesis shrinks towards it.
"""

from typing import Any, NamedTuple, get_args

from hypothesis import strategies as st
from pydantic import Field

from offbus import dag
from tests.kits.engine.world_acts import ActParams, Brief, Effect, Ending
from tests.kits.engine.world_undos import UNDO_TYPES, WATCHED

__all__ = ["Around", "PlannedStep", "around", "steps"]


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


def weighted(choices: dict[Any, int]) -> st.SearchStrategy[Any]:
    """Each so many times. Hypothesis draws evenly from up to 256, and prefers the first ones of more."""
    all_ = [choice for choice, times in choices.items() for _ in range(times)]
    assert len(all_) <= 256
    return st.sampled_from(all_)


ODD = weighted(
    {(): 40}
    | {("observes", True): 10, ("keep_going", True): 10, ("always", True): 6, ("background", True): 11}
    | {("attempts", 2): 6, ("attempts", 3): 6, ("timeout_s", 5.0): 7, ("timeout_s", 30.0): 4}
    | {
        ("when", False): 2,
        ("expects", True): 5,
        ("expects", False): 1,
        ("rude", True): 9,
        ("fault", True): 12,
    }
    | {("level", level): 2 for level in (0.0, 1.0, 2.0)}
    | {(at, seconds): 4 for at in ("before", "after") for seconds in (0.25, 1.0, 7.0, 40.0)}
)
"""What may be odd about a step, or about what it does."""
ENDINGS = weighted(dict.fromkeys(get_args(Ending), 1) | {"passes": 110, "retry": 8, "stubborn": 4})
EFFECT = weighted(
    {None: 100}
    | {(undo, ()): 1 for undo in UNDO_TYPES if undo not in WATCHED}
    | {("restore_key", ()): 20, ("disarm", ()): 35, ("slow", ()): 20}
    | {(undo, ("takes",)): 10 for undo in ("restore_key", "disarm", "slow")}
    | {(undo, odd): 1 for undo in ("restore_key", "disarm") for odd in (("meddled",), ("shared", "takes"))}
    | {(undo, ("shared",)): 2 for undo in ("restore_key", "disarm", "slow", "flaky")}
)
"""An undo type, and what is odd about the effect."""
NEEDS = weighted(
    {(): 40, (0,): 60}
    | {(back,): 1 for back in range(1, 24)}
    | {(0, back): 1 for back in range(1, 24)}
    | {(0, back, further): 1 for back in range(1, 6) for further in range(back + 1, 12)}
)
"""Counted backwards: 0 is the step before."""
CLEANS = st.one_of([st.none()] * 3 + [st.integers(1, 255)])
"""Of the step's ancestors, from the last one on, those whose bit is set."""
# a fixed number of draws, in one tuple: lists of any length, and tuples in tuples, would take twice as long
LATER = st.tuples(NEEDS, CLEANS, ENDINGS, ODD, ODD, ODD, EFFECT, EFFECT)
FIRST = st.tuples(st.just(()), st.none(), ENDINGS, ODD, ODD, ODD, EFFECT, EFFECT)


class Draft(NamedTuple):
    """A step that does not know yet which ones are before it."""

    needs: tuple[int, ...]
    cleans: int | None
    ending: str
    oddities: dict[str, Any]
    effects: list[tuple[str, tuple[str, ...]]]

    @classmethod
    def of(cls, drawn: tuple[Any, ...]) -> "Draft":
        """As FIRST and LATER draw it."""
        return cls(*drawn[:3], dict(filter(None, drawn[3:6])), list(filter(None, drawn[6:])))


def steps(least: int) -> st.SearchStrategy[list[PlannedStep]]:
    """The steps of a drill, at least so many."""
    later = st.lists(LATER, min_size=least - 1, max_size=24)
    return st.builds(lambda first, later: planned([Draft.of(one) for one in (first, *later)]), FIRST, later)


def planned(drafts: list[Draft]) -> list[PlannedStep]:
    """With names."""
    needs: dict[str, list[str]] = {}
    found = []
    for index, draft in enumerate(drafts):
        name = f"s{index}"
        needs[name] = list(dict.fromkeys(f"s{index - 1 - back % index}" for back in draft.needs))
        cleans: tuple[str, ...] = ()
        if draft.cleans is not None and needs[name]:
            cleans = _ancestors(name, needs, draft.cleans)
        found.append(_planned(name, draft, tuple(needs[name]), cleans))
    return found


def _ancestors(name: str, needs: dict[str, list[str]], bits: int) -> tuple[str, ...]:
    """Some of them, at least one."""
    all_ = dag.build(needs).ancestors(name)
    return tuple(one for back, one in enumerate(reversed(all_)) if bits >> back & 1) or tuple(all_[:1])


def _planned(name: str, draft: Draft, needs: tuple[str, ...], cleans: tuple[str, ...]) -> PlannedStep:
    odd = {field: value for field, value in draft.oddities.items() if field in PlannedStep.model_fields}
    if cleans:  # it neither acts nor goes on in the background
        return PlannedStep(id=name, needs=needs, cleans=cleans, **(odd | {"background": False}))
    conduct = {field: value for field, value in draft.oddities.items() if field in ActParams.model_fields}
    conduct["ending"] = draft.ending
    if odd.get("background"):  # it goes on until it is asked to stop, and is no `always` step
        odd["always"], conduct["ending"] = False, "until stopped"
    effects = tuple(_effect(name, index, *effect) for index, effect in enumerate(draft.effects))
    return PlannedStep(id=name, needs=needs, act=ActParams(effects=effects, **conduct), **odd)


def _effect(step: str, index: int, undo: str, odd: tuple[str, ...]) -> Effect:
    """On a key of its own, unless it is the shared one, with a value that tells whose it is."""
    return Effect(
        key="shared" if "shared" in odd else f"{step}.{index}",
        value=f"{step}'s",
        undo=undo,
        takes=0.5 if "takes" in odd else 0.0,
        meddled="meddled" in odd,
    )


def around() -> st.SearchStrategy[Around]:
    """The drill around the steps."""
    return st.builds(
        Around,
        timeout_s=st.sampled_from([10_000.0, 60.0, 10.0, 10.0]),
        undo_timeout_s=st.sampled_from([300.0, 5.0, 8.0, 60.0]),
        expects=st.sampled_from([None] * 12 + [True] * 5 + [False]),
        stops_above_1=st.sampled_from([None] * 4 + [0.0, 1.0]),
        before=st.sampled_from([{}, {"shared": "old"}]),
        signal_at=st.none()
        | st.builds(lambda eighths, by: eighths / 8 * by, st.integers(0, 59), st.integers(1, 4)),
    )
