"""How a fault shows, as scenarios state it, beyond what the catalogue says of its XID.

    with: {xid: 79, cuda_code: CUDA_ERROR_UNKNOWN}            # another result than the catalogue's, by its symbol
    with: {xid: 48, codes: guide}                             # the results of the published user guide
    with: {xid: 119, mode: hang, duration: 20s}               # calls block, and go on after 20 s
    with: {xid: 48, mode: delay, delay: 200ms}                # calls are late, and right
    with: {xid: 94, probability: 0.1, seed: 7}                # one call in ten, the same ones each time
    with: {xid: 79, dialect: kernel}                          # the line as the driver itself would write it

The options are checked when a scenario is loaded, by the same tables as the agent's, which checks them again. An option
of a plane that the fault does not have is refused: it would change nothing. `duration` bounds the fault beside its
lease: whichever ends first disarms.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from offbus.durations import Duration, format_duration
from offbus.findings.suggest import closest
from offbus.step import Params
from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_agent.catalogue.result_codes import CUDA_CODES, NVML_CODES
from offbus_agent.catalogue.xid_effects import Mode
from offbus_agent.kernel_log.line import Dialect

__all__ = ["Asked", "CallOptions", "LineOptions", "asked_by", "shown_planes"]

LONGEST_DELAY = timedelta(minutes=10)
"""The agent's limit (offbus_agent.models.FaultRequest.delay_ms)."""


def _code(table: Any, value: str | None) -> str | None:
    if value is None or value in table.values():
        return value
    near = closest(value, table.values())
    known = f"did you mean {near}?" if near else f"there are {', '.join(table.values())}"
    raise ValueError(f"it is no result that a fault can return; {known}")


class LineOptions(Params):
    """Of the kernel log's line."""

    dialect: Dialect = Field(
        default=Dialect.MARKED,
        description="How the line starts, which decides which detectors read it: see docs/reference/agent.md.",
    )

    def line_request(self) -> dict[str, Any]:
        """Of the agent's request, what differs from its defaults."""
        return {} if self.dialect is Dialect.MARKED else {"dialect": self.dialect.value}


class CallOptions(Params):
    """Of the faulted CUDA and NVML calls."""

    CALLS: ClassVar[tuple[str, ...]] = (
        "codes",
        "mode",
        "delay",
        "after_calls",
        "probability",
        "seed",
        "duration",
    )
    """The options that need a plane on which calls are faulted."""

    codes: Literal["driver", "guide"] = Field(
        default="driver",
        description="Whose CUDA result: the driver's, by the catalogue, or the published user guide's.",
    )
    cuda_code: str | None = Field(
        default=None,
        description="CUDA result instead of the catalogue's, by its symbol in cuda.h.",
        json_schema_extra={"examples": ["CUDA_ERROR_UNKNOWN"]},
    )
    nvml_code: str | None = Field(
        default=None,
        description="NVML result instead of the catalogue's, by its symbol in nvml.h.",
        json_schema_extra={"examples": ["NVML_ERROR_GPU_IS_LOST"]},
    )
    mode: Mode | None = Field(
        default=None,
        description="error: calls fail; hang: they block until the fault is disarmed; delay: they are late; lost: the "
        "GPU is gone. Default: the catalogue's.",
    )
    delay: Duration | None = Field(default=None, description="How late calls are, in mode delay.")
    after_calls: int = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description="So many calls of each process succeed before the first is faulted.",
    )
    probability: float = Field(default=1.0, gt=0, le=1, description="Share of the calls that are faulted.")
    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="Decides which calls, where the probability is below 1."
    )
    duration: Duration | None = Field(
        default=None,
        description="The fault is disarmed after this time. Default: when the step is undone.",
    )

    @field_validator("cuda_code")
    @classmethod
    def _of_cuda(cls, value: str | None) -> str | None:
        return _code(CUDA_CODES, value)

    @field_validator("nvml_code")
    @classmethod
    def _of_nvml(cls, value: str | None) -> str | None:
        return _code(NVML_CODES, value)

    @model_validator(mode="after")
    def _delayed(self) -> Self:
        if (self.mode is Mode.DELAY) != (self.delay is not None):
            raise ValueError("`mode: delay` and `delay` go together: set both, or neither")
        if self.delay is not None and not timedelta(milliseconds=1) <= self.delay <= LONGEST_DELAY:
            raise ValueError(f"delay: it must be from 1ms to {format_duration(LONGEST_DELAY)}")
        if self.duration is not None and not self.duration:
            raise ValueError("duration: it must be longer than 0")
        return self

    def call_request(self) -> dict[str, Any]:
        """Of the agent's request, what was set: numbers for symbols, milliseconds for durations."""
        asked: dict[str, Any] = {
            "codes": self.codes,
            "cuda_code": _number(CUDA_CODES, self.cuda_code),
            "nvml_code": _number(NVML_CODES, self.nvml_code),
            "mode": None if self.mode is None else self.mode.value,
            "delay_ms": None if self.delay is None else round(self.delay.total_seconds() * 1000),
            "after_calls": self.after_calls,
            "probability": self.probability,
            "seed": self.seed,
        }
        defaults = {"codes": "driver", "after_calls": 0, "probability": 1.0, "seed": 0}
        return {
            name: value for name, value in asked.items() if value is not None and value != defaults.get(name)
        }

    def require_planes(self, planes: frozenset[Plane]) -> None:
        """Raises ValueError for an option of a plane that the fault does not have."""
        for name, plane in (("cuda_code", Plane.CUDA), ("nvml_code", Plane.NVML)):
            if getattr(self, name) is not None and plane not in planes:
                raise ValueError(f"{name}: the fault does not show on the plane {plane.value}")
        called = [name for name in self.CALLS if name in self.model_fields_set]
        if called and not planes & {Plane.CUDA, Plane.NVML}:
            raise ValueError(
                f"{called[0]}: it is of CUDA and NVML calls, and the fault shows on neither plane"
            )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step's options ask of the agents."""

    request: Mapping[str, Any]
    """Fields of the agent's request, beside fault, XID, GPUs and planes."""
    coded: frozenset[Plane] = frozenset()
    """Planes that have a result of their own, whatever the XID shows."""
    shown: frozenset[Plane] = frozenset()
    """Planes on which the fault may be asked for because of an option: those, and all where calls are made."""
    duration: timedelta | None = None


def asked_by(line: LineOptions | None, calls: CallOptions | None) -> Asked:
    """Both kinds of options together; None for a step that does not have them."""
    request = line.line_request() if line is not None else {}
    if calls is None:
        return Asked(request)
    return Asked(request | calls.call_request(), _coded(calls), shown_planes(calls), calls.duration)


def shown_planes(params: CallOptions) -> frozenset[Plane]:
    """The planes on which a fault may be asked for because of an option, whatever its XID."""
    makes_the_call = params.mode in (Mode.HANG, Mode.DELAY)
    return frozenset(PAGE_PLANES) if makes_the_call else _coded(params)


def _coded(params: CallOptions) -> frozenset[Plane]:
    asked = ((Plane.CUDA, params.cuda_code), (Plane.NVML, params.nvml_code))
    return frozenset(plane for plane, code in asked if code is not None)


def _number(table: Any, symbol: str | None) -> int | None:
    return next((number for number, name in table.items() if name == symbol), None)
