"""Makes tokens on the GPUs: one allocation, copy, kernel launch, synchronisation and read-back for every token.

The model is deterministic: a token depends only on the prompt and its position, so that another worker can continue
where one died. The result of the kernel decides the token and is compared with the same arithmetic on the host: a
driver that returns success without having computed is detected (`WrongResultError`). One thread must make all calls.
Must not: know HTTP.
"""

import hashlib
import struct
from array import array
from ctypes import c_float, c_uint, c_uint64
from dataclasses import dataclass
from uuid import UUID

from offbus_sandbox.workload.driver_api import Driver, Handle
from offbus_sandbox.workload.kernel import KERNEL_NAME, MODULE
from offbus_sandbox.workload.telemetry import Telemetry

__all__ = ["Generator", "Gpu", "WrongResultError"]

ELEMENTS = 64
FACTOR = 2.0
_WORDS = (
    "bus",
    "clock",
    "core",
    "fan",
    "gate",
    "heat",
    "lane",
    "link",
    "mesh",
    "page",
    "rack",
    "shard",
    "tile",
    "wafer",
)


class WrongResultError(Exception):
    """Raised when a GPU's result is not what the host computes."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU in use."""

    uuid: str
    name: str
    context: Handle
    function: Handle


class Generator:
    """All GPUs that the process sees, as one tensor-parallel model uses them. Make it in the thread that uses it.

    Raises OSError without a driver, CudaError, and `RuntimeError` without a GPU.
    """

    def __init__(self) -> None:
        self._driver = Driver()
        self.gpus: list[Gpu] = []
        for device in self._driver.devices():
            function = self._driver.load_kernel(MODULE, KERNEL_NAME)
            uuid = f"GPU-{UUID(bytes=device.uuid)}"  # as NVML spells it
            self.gpus.append(Gpu(uuid, device.name, device.context, function))
        if not self.gpus:
            raise RuntimeError("this process sees no GPU: does the pod request nvidia.com/gpu?")
        self.telemetry = Telemetry([gpu.uuid for gpu in self.gpus])

    def token(self, prompt: str, position: int) -> str:
        """The token of that position. Raises CudaError, WrongResultError."""
        # small whole numbers: float32 arithmetic on them is exact, in any order, on any machine
        digest = hashlib.shake_256(f"{position}\0{prompt}".encode()).digest(2 * ELEMENTS)
        numbers = struct.unpack(f"{2 * ELEMENTS}B", digest)
        x, y = array("f", numbers[:ELEMENTS]), array("f", numbers[ELEMENTS:])
        expected = array("f", (FACTOR * a + b for a, b in zip(x, y, strict=True)))
        words = []
        for gpu in self.gpus:
            result = self._on_device(gpu, x, y)
            if result != expected:
                raise WrongResultError(
                    f"{gpu.uuid} computed {result[:4].tolist()} …, expected {expected[:4].tolist()} …"
                )
            words.append(_WORDS[int(sum(result)) % len(_WORDS)])
        return words[0]

    def _on_device(self, gpu: Gpu, x: "array[float]", y: "array[float]") -> "array[float]":
        driver, size = self._driver, ELEMENTS * x.itemsize
        driver.set_current(gpu.context)
        at_x, at_y = driver.allocate(size), driver.allocate(size)
        driver.copy_to_device(at_x, x.tobytes())
        driver.copy_to_device(at_y, y.tobytes())
        arguments = (c_uint64(at_y), c_uint64(at_x), c_float(FACTOR), c_uint(ELEMENTS))
        driver.launch(gpu.function, ELEMENTS, arguments)
        result = array("f", driver.copy_from_device(at_y, size))
        driver.free(at_x)
        driver.free(at_y)
        return result
