"""What a package declares of its own words, so that the engine need not know them: metrics, and what is observed.

A step type declares its metrics, an environment type its lanes. `run_started` carries both into the journal, so that a
view or a report says them as their author would, also where the package is not installed. Nothing is guessed from a
name or a word: what is not declared is shown as it is.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

__all__ = ["METRIC_TYPES", "Lane", "Metric", "StatementTone", "as_metric", "written"]

StatementTone = Literal["good", "bad", "caution", "dim"]
"""What a statement about something observed means; dim: that something is no more, or is of no interest."""
METRIC_TYPES = ("double", "int", "duration")
"""CEL types that a measurement can have."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that a step type emits.

        "rows.lost": Metric("double", "Rows that are gone, of all.", share=True, group="rows", label="{} lost")

    Raises ValueError for what cannot be shown.
    """

    type: str
    """CEL type name: double, int or duration."""
    meaning: str = ""
    """One line: what is measured, from when to when."""
    unit: str = ""
    """Of a number: "GiB"; "" is "1", a count. A duration is always in seconds, "s"."""
    share: bool = False
    """A part of a whole, from 0 to 1: shown as percent."""
    group: str = ""
    """The word or two that begin its line in the closing lines of a run; metrics of one group share a line."""
    label: str = ""
    """How the closing lines tell it, `{}` being its value: "{} sent". "": they do not."""
    order: int = 0
    """Where it stands among the others: in closing lines, reports and views. Equal ones stand as they were measured."""
    often: bool = False
    """Measured again and again: the plain view does not print each value."""

    def __post_init__(self) -> None:
        if self.type not in METRIC_TYPES:
            raise ValueError(f"a metric's type is one of {', '.join(METRIC_TYPES)}, not {self.type!r}")
        if self.label and self.label.count("{}") != 1:
            raise ValueError(f"a metric's label has one {{}} for its value: {self.label!r} has not")
        if self.share and self.type != "double":
            raise ValueError(f"a share is a double, not {self.type}")
        unit = "s" if self.type == "duration" else self.unit or "1"
        object.__setattr__(self, "unit", unit)  # frozen for all others


def as_metric(given: Metric | str) -> Metric:
    """A declaration; one that is only a CEL type name says nothing else. Raises ValueError."""
    return given if isinstance(given, Metric) else Metric(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A kind of thing that is observed (`Recorder.observed`), and its section of the live view.

    The section is a table with a row for each subject; with `feed` it is the newest statement about each, newest first.
    """

    name: str
    """As `observed(lane=…)` spells it."""
    title: str = ""
    """Of its section, at most 15 characters, the first 7 without moving the others; "": it has none."""
    seed: str = ""
    """How those names of the environment's fingerprint begin that are subjects before anything happens: "Table/"."""
    several: bool = False
    """A subject has several statements at once: a new one replaces the one that it names as `was`, or one that begins
    with the same word. Otherwise each statement says all there is to say."""
    where: str = ""
    """The key of evidence that says where a subject is: a column of the table, so that "moved on b", with "b" there, is
    told as "moved"."""
    count: str = ""
    """The key of evidence that counts something, told beside its name unless it is 0."""
    gone: str = ""
    """The statement that says that a subject is no more: all of those share a row."""
    feed: bool = False
    metrics: str = ""
    """How the names of those metrics begin whose newest values are a feed's first row: "rows."."""


def written(declaration: Metric | Lane) -> dict[str, Any]:
    """A declaration as an event holds it: what differs from the defaults."""
    defaults = {one.name: one.default for one in fields(declaration)}
    return {key: value for key, value in asdict(declaration).items() if value != defaults[key]}
