"""The shapes of the agent's HTTP interface (docs/reference/agent.md) and of its store.

Job: shape only. Unknown keys are refused, so that a typing error never becomes a default. All `*_ns` are
CLOCK_BOOTTIME of the node, in nanoseconds.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.xid_effects import Mode
from offbus_agent.kernel_log.line import Dialect

__all__ = [
    "GUIDE_RUN",
    "Counts",
    "EndRequest",
    "EventsAnswer",
    "Fault",
    "FaultEvent",
    "FaultList",
    "FaultRequest",
    "FirstFaulted",
    "GpuShape",
    "Health",
    "InjectXidRequest",
    "KernelEntry",
    "Kind",
    "LeaseRequest",
    "OwnerRequest",
    "PlaneHealth",
    "Problem",
    "ProcessSeen",
    "Ready",
    "ResponderShape",
    "State",
]

GUIDE_RUN = "inject-xid"
"""The run of faults created by `/inject-xid`."""
MAX_TTL_S = 86_400
"""A day: a longer fault needs an owner that still renews it."""

FaultId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,38}$")]
"""At most 39 characters: the page stores it with a closing NUL in 40 bytes."""
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Ttl = Annotated[float, Field(gt=0, le=MAX_TTL_S, allow_inf_nan=False, description="Seconds from now.")]
Epoch = Annotated[
    int, Field(ge=0, le=2**53, description="The number of the run's owner; a lower one is refused.")
]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


Kind = Literal["kernel_line", "armed", "first_faulted", "disarmed", "expired"]
"""The kinds of a fault's events."""


class State(StrEnum):
    """A fault's state. `expired` is final; so is `failed`: a plane did not show it, and nothing is armed."""

    ARMED = "armed"
    DISARMED = "disarmed"
    EXPIRED = "expired"
    FAILED = "failed"

    @classmethod
    def _missing_(cls, value: object) -> "State | None":
        """The spelling in a store of an agent of 0.1."""
        return cls.EXPIRED if value == "lapsed" else None


class FaultRequest(_Shape):
    """A fault to create: which GPUs, which XID, on which planes, and for how long at most."""

    id: FaultId
    run: RunId
    epoch: Epoch
    xid: int = Field(description="0: the line of a GPU that has fallen off the bus, without an XID.")
    gpus: Annotated[list[str], Field(min_length=1, max_length=16, description="GPU UUIDs.")]
    planes: Annotated[list[Plane], Field(min_length=1, max_length=3)]
    ttl_s: Ttl
    armed: bool = Field(True, description="False: create the fault, and arm it with a later call.")
    dialect: Dialect = Field(Dialect.MARKED, description="How the kernel line starts.")
    codes: Literal["driver", "guide"] = Field(
        "driver", description="The source of the CUDA code: the driver (default) or the published user guide."
    )
    cuda_code: int | None = Field(None, description="CUresult instead of the catalogue's.")
    nvml_code: int | None = Field(None, description="nvmlReturn_t instead of the catalogue's.")
    mode: Mode | None = Field(None, description="Instead of the catalogue's.")
    delay_ms: Annotated[int, Field(ge=1, le=600_000)] | None = Field(None, description="For mode delay.")
    after_calls: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        0, description="This many matching calls of each process succeed first."
    )
    probability: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Probability that a matching call is faulted."
    )
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        0, description="Selects the faulted calls when the probability is below 1."
    )


class OwnerRequest(_Shape):
    """The caller; `ttl_s` is accepted and ignored, so that every call on a fault can have the same body."""

    run: RunId
    epoch: Epoch
    ttl_s: Ttl | None = None


class LeaseRequest(_Shape):
    """The caller, and how long the fault may stay armed from now."""

    run: RunId
    epoch: Epoch
    ttl_s: Ttl


class InjectXidRequest(_Shape):
    """The published guides' request: one kernel line for one GPU, selected by its index."""

    fault_id: FaultId
    xid_type: int
    gpu_id: Annotated[int, Field(ge=0)] = 0
    duration: Annotated[int, Field(gt=0, le=MAX_TTL_S)] | None = Field(
        None, description="Seconds until it is recovered; default: 300."
    )


class EndRequest(_Shape):
    """Whose fault is deleted, in the query; by default one of `/inject-xid`."""

    run: RunId = GUIDE_RUN
    epoch: Epoch = 0


class KernelEntry(_Shape):
    """A line that was read back from the kernel log."""

    seq: int
    at_ns: int
    line: str


class FirstFaulted(_Shape):
    """The first call that one process saw fail on one plane, as its shim reported it."""

    plane: Plane
    function: str
    code: int
    code_name: str
    pid: int
    host_pid: int | None
    pod_uid: str | None = None
    """In Kubernetes: the process's pod."""
    tid: int
    gpu: str
    at_ns: int


class Counts(_Shape):
    """Calls by all processes while the fault was armed: `intercepted` those on its GPUs, except look-ups; `faulted`
    those that the fault answered, including look-ups of a lost GPU."""

    intercepted: int = 0
    faulted: int = 0


class ProcessSeen(_Shape):
    """A process that made calls while the fault was armed. `host_pid` is None when it ended before it was looked up."""

    pid: int
    host_pid: int | None
    start_ns: int
    faulted: int
    first_faulted: FirstFaulted | None = None


class Fault(_Shape):
    """A fault, its lease and its evidence."""

    id: str
    run: str
    epoch: int
    xid: int
    mnemonic: str
    gpus: list[str]
    planes: list[Plane]
    state: State
    generation: int = 0
    created_ns: int
    armed_ns: int | None = None
    expires_ns: int
    kernel: list[KernelEntry] = []
    unread: list[str] = []
    """Lines that were written and not read back in time: a detector may still see them."""
    first_faulted: list[FirstFaulted] = []
    counts: Counts = Counts()
    processes: list[ProcessSeen] = []


class FaultList(_Shape):
    """All faults that were not recovered yet."""

    faults: list[Fault]


class FaultEvent(BaseModel):
    """One event of a fault. `seq` counts per fault from 1; further keys depend on `kind`."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    seq: int
    at_ns: int
    kind: Annotated[Kind, BeforeValidator(lambda kind: "expired" if kind == "lapsed" else kind)]
    """(`lapsed` in a store of an agent of 0.1.)"""


class EventsAnswer(_Shape):
    """Events after `since`; continue with `since=next`."""

    next: int
    events: list[FaultEvent]


class GpuShape(_Shape):
    """A GPU of the node."""

    index: int
    uuid: str
    pci: str
    name: str
    memory_bytes: int | None = None
    driver: str = Field(
        "", description='The version of its driver, "" when unknown; it decides the layout of NVLink 5 lines.'
    )


class ResponderShape(_Shape):
    """What NVSentinel's metadata file on the node says now; its monitor reads the file when it starts."""

    metadata: bool = Field(description="Whether there is such a file.")
    driver: str = Field("", description='The driver\'s version in it; "" for none.')
    gpus: list[str] = Field(default_factory=list, description="UUIDs of this node's GPUs that it lists.")


class PlaneHealth(_Shape):
    """Whether a plane can be used now; `why` says why not.

    `code` is what an injection would return: `plane_failed` (it cannot be written), `not_shown` (it can be written, and
    nobody would see it).
    """

    ok: bool
    path: str
    why: str = ""
    code: Literal["", "plane_failed", "not_shown"] = ""


class Ready(_Shape):
    """Whether the agent can do its work."""

    ready: bool
    why: list[str] = Field(
        default_factory=list, description="What does not work; some of it leaves the agent ready."
    )


class Health(_Shape):
    """The agent and its node."""

    node: str
    version: str
    boot_id: str
    now_ns: int
    gpus: list[GpuShape]
    unreadable: list[str] = Field(
        default_factory=list, description="Why GPUs that the driver lists are not among them."
    )
    responder: ResponderShape = ResponderShape(metadata=False)
    faults: int
    armed: int
    planes: dict[Plane, PlaneHealth]


class PreloadShape(_Shape):
    """One container's first process, and the LD_PRELOAD that it was started with."""

    pid: int
    container: str
    value: str | None


class PreloadAnswer(_Shape):
    """The current LD_PRELOAD of a pod's containers."""

    processes: list[PreloadShape]


class Problem(BaseModel):
    """Every response except 2xx (RFC 9457); further keys are facts of that refusal."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    type: str = Field(description="Names the kind of problem.")
    title: str = Field(description="The code, in words.")
    status: int
    detail: str = Field(description="What failed, and why.")
    code: str = Field(description="Stable, for programs.")
    hint: str = Field("", description="What to do.")
