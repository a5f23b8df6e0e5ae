"""NVML readings of the worker's GPUs, once per request, as in engines' metrics loops.

A query's first failure is logged, every failure is counted, and none stops a request: the CUDA call that follows
decides about the process. Without `libnvidia-ml.so.1` there is no telemetry, and that is logged once. Function and
constant names: nvml.h. Must not: be called from two threads at once.
"""

import ctypes
import logging
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

__all__ = ["GpuTelemetry", "NvmlError", "Telemetry"]

LIBRARY = "libnvidia-ml.so.1"
_TEMPERATURE_GPU = 0
_log = logging.getLogger(__name__)


class NvmlError(Exception):
    """Raised when an NVML call does not return NVML_SUCCESS."""


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


@dataclass(slots=True)
class GpuTelemetry:
    """The latest readings of one GPU; None before the first successful one."""

    uuid: str
    temperature_c: int | None = None
    utilization_percent: int | None = None
    errors: int = 0
    last_error: str = ""


class Telemetry:
    """Reads the given GPUs."""

    def __init__(self, uuids: Sequence[str], library: str = LIBRARY) -> None:
        self.gpus = [GpuTelemetry(uuid) for uuid in uuids]
        self._nvml: ctypes.CDLL | None = None
        try:
            nvml = ctypes.CDLL(library)
            _call(nvml, "nvmlInit_v2")
            self._nvml = nvml
        except (OSError, NvmlError) as err:
            _log.warning("no telemetry: %s", err)

    def read(self) -> None:
        """One query for each GPU."""
        nvml = self._nvml
        if nvml is None:
            return
        for gpu in self.gpus:
            handle, celsius, rates = c_void_p(), c_uint(), _Utilization()
            try:
                _call(nvml, "nvmlDeviceGetHandleByUUID", c_char_p(gpu.uuid.encode()), byref(handle))
                _call(nvml, "nvmlDeviceGetTemperature", handle, c_int(_TEMPERATURE_GPU), byref(celsius))
                gpu.temperature_c = celsius.value
                _call(nvml, "nvmlDeviceGetUtilizationRates", handle, byref(rates))
                gpu.utilization_percent = int(rates.gpu)
            except NvmlError as err:
                gpu.errors += 1
                if str(err) != gpu.last_error:
                    _log.error("%s: %s", gpu.uuid, err)
                gpu.last_error = str(err)
            else:
                gpu.last_error = ""


def _call(nvml: ctypes.CDLL, name: str, *arguments: Any) -> None:
    """Call a function of the library. Raises NvmlError."""
    code: int = getattr(nvml, name)(*arguments)
    if code != 0:
        describe = nvml.nvmlErrorString
        describe.restype = c_char_p
        text = (describe(c_int(code)) or b"unknown").decode("ascii", "replace")
        raise NvmlError(f"NVML error: {text} ({code}) in {name}")
