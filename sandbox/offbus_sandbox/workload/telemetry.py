"""What NVML says of the worker's GPUs, asked once per request, as engines' metrics loops do.

A failing query is logged when it begins to fail, counted always, and never stops a request: the CUDA call
that follows decides about the process. Without `libnvidia-ml.so.1` there is no telemetry, and that is logged
once. Function and constant names: nvml.h. Must not: be called from two threads at once.
"""

import ctypes
import logging
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

__all__ = ["GpuTelemetry", "NvmlError", "Telemetry", "uuid_text"]

LIBRARY = "libnvidia-ml.so.1"
_TEMPERATURE_GPU = 0
_log = logging.getLogger(__name__)


class NvmlError(Exception):
    """Raised when an NVML call does not answer NVML_SUCCESS."""

    def __init__(self, function: str, code: int, text: str) -> None:
        super().__init__(f"NVML error: {text} ({code}) in {function}")


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", c_uint), ("memory", c_uint))


@dataclass(slots=True)
class GpuTelemetry:
    """The newest readings of one GPU; None before the first good one."""

    uuid: str
    temperature_c: int | None = None
    utilization_percent: int | None = None
    errors: int = 0
    last_error: str = ""


def uuid_text(uuid: bytes) -> str:
    """NVML's spelling of a UUID: GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx."""
    text = uuid.hex()
    return "GPU-" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Telemetry:
    """Reads the given GPUs."""

    def __init__(self, uuids: Sequence[str], library: str = LIBRARY) -> None:
        self.gpus = [GpuTelemetry(uuid) for uuid in uuids]
        self._lib: ctypes.CDLL | None = None
        try:
            self._lib = ctypes.CDLL(library)
            self._call("nvmlInit_v2")
        except (OSError, NvmlError) as err:
            _log.warning("no telemetry: %s", err)
            self._lib = None

    def read(self) -> None:
        """One query for each GPU."""
        if self._lib is None:
            return
        for gpu in self.gpus:
            self._read(gpu)

    def _read(self, gpu: GpuTelemetry) -> None:
        try:
            handle = self._handle(gpu.uuid)
            gpu.temperature_c = self._temperature(handle)
            gpu.utilization_percent = self._utilization(handle)
        except NvmlError as err:
            gpu.errors += 1
            if str(err) != gpu.last_error:
                _log.error("%s: %s", gpu.uuid, err)
            gpu.last_error = str(err)
        else:
            gpu.last_error = ""

    def _handle(self, uuid: str) -> c_void_p:
        handle = c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", c_char_p(uuid.encode()), byref(handle))
        return handle

    def _temperature(self, handle: c_void_p) -> int:
        value = c_uint()
        self._call("nvmlDeviceGetTemperature", handle, c_int(_TEMPERATURE_GPU), byref(value))
        return value.value

    def _utilization(self, handle: c_void_p) -> int:
        rates = _Utilization()
        self._call("nvmlDeviceGetUtilizationRates", handle, byref(rates))
        return int(rates.gpu)

    def _call(self, name: str, *arguments: Any) -> None:
        code: int = getattr(self._lib, name)(*arguments)
        if code != 0:
            raise NvmlError(name, code, self._text(code))

    def _text(self, code: int) -> str:
        describe = getattr(self._lib, "nvmlErrorString")  # noqa: B009 - ctypes resolves names as attributes
        describe.restype = c_char_p
        return (describe(c_int(code)) or b"unknown").decode("ascii", "replace")
