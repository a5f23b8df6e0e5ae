"""The schema of a run's first event: what the run intends, and what the packages in use declare of their words.

TypedDicts, as those of offbus.journal.schemas, which have all other kinds.
"""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from offbus.journal.origin import Own, Retained

__all__ = ["DeclaredLane", "DeclaredMetric", "PlannedStep", "RunStarted"]


class PlannedStep(TypedDict):
    """A step as the run intends it."""

    id: Own
    """Its id in the scenario."""
    uses: Own
    """Its step type."""
    kind: Literal["action", "observation"]
    """Whether it changes the world or only looks."""
    needs: list[Own]
    """Steps that must have passed first."""
    background: bool
    """It runs beside the steps below it."""
    always: bool
    """It runs after a failure or a timeout, too."""
    injects: bool
    """It injects a fault."""
    timeout_s: float
    """For all attempts together, seconds."""


class DeclaredMetric(TypedDict):
    """What differs from the defaults of offbus.declared.Metric."""

    type: Literal["double", "int", "duration"]
    """CEL type of its values."""
    meaning: NotRequired[Own]
    """What it measures."""
    unit: NotRequired[Own]
    """Of its values."""
    share: NotRequired[bool]
    """It is a part of a whole, from 0 to 1."""
    group: NotRequired[Own]
    """What begins its line in the closing lines."""
    label: NotRequired[Own]
    """How they tell it, `{}` being its value."""
    order: NotRequired[int]
    """Where it stands among the others: small numbers first."""
    often: NotRequired[bool]
    """Measured again and again."""


class DeclaredLane(TypedDict):
    """What differs from the defaults of offbus.declared.Lane."""

    name: Own
    """Name of the lane, as events have it."""
    title: NotRequired[Own]
    """Heading of its section in the live view."""
    seed: NotRequired[Own]
    """How those names of the environment's fingerprint begin that are subjects before anything happens."""
    several: NotRequired[bool]
    """A subject has several statements at once."""
    where: NotRequired[Own]
    """The key of evidence that says where a subject is."""
    count: NotRequired[Own]
    """The key of evidence that counts something."""
    gone: NotRequired[Own]
    """The statement that says that a subject is no more."""
    feed: NotRequired[bool]
    """Its section is the newest statement about each subject, newest first."""
    metrics: NotRequired[Own]
    """How the names of those metrics begin whose newest values are a feed's first row."""


class RunStarted(TypedDict):
    """First event of every journal."""

    name: Own
    """The scenario's name."""
    summary: Own
    """The scenario's summary."""
    scenario: Own
    """Path of the file as given."""
    digest: Own
    """SHA-256 of its bytes."""
    inputs: NotRequired[Retained]
    """Each with its value. Absent in journals of offbus 0.1."""
    cell: NotRequired[Own]
    """Id of the cell, where the scenario has a matrix."""
    environment: Own
    """Type of the environment."""
    identity: Own
    """Names the environment that the run acts on; two runs in one environment exclude each other."""
    versions: dict[str, Own]
    """offbus, python, platform, and each distribution that brought a plugin in use."""
    steps: list[PlannedStep]
    """All steps, in plan order."""
    metrics: NotRequired[dict[str, DeclaredMetric]]
    """Those of the step types in use. Absent, as `lanes`, in journals of offbus 0.1."""
    lanes: NotRequired[list[DeclaredLane]]
    """The environment's, in order."""
    expect: list[Own]
    """The expectations of the whole scenario, as it has them."""
    timeout_s: float
    """For opening the environment and all steps together, seconds."""
    undo_timeout_s: float
    """For `always` steps and the undo, seconds."""
    host: Own
    """Machine of the runner."""
    pid: int
    """Process of the runner."""
