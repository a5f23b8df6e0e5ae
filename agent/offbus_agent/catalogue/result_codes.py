"""Names of the CUDA driver and NVML result codes that a fault may return.

Job: one table for each API, so that requests, reports and the catalogue use the same names. It must not know XIDs (that
is `xid_effects`). A code that is not in its table is refused with `UnknownCode`: a number that no driver ever returns
would test nothing.

Sources: `CUresult` in cuda.h of CUDA 12.9 and 13.5; `nvmlReturn_t` in nvml.h (nvidia-ml-py 13.615).
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CUDA_CODES", "NVML_CODES", "Code", "UnknownCode", "cuda_code", "nvml_code"]


@dataclass(frozen=True, slots=True)
class Code:
    """A result code with its name in the API's header."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class UnknownCode(ValueError):
    """Raised when a number is not a result code of its API; the message lists the known ones."""


CUDA_CODES: Mapping[int, str] = {
    2: "CUDA_ERROR_OUT_OF_MEMORY",
    3: "CUDA_ERROR_NOT_INITIALIZED",
    46: "CUDA_ERROR_DEVICE_UNAVAILABLE",
    100: "CUDA_ERROR_NO_DEVICE",
    101: "CUDA_ERROR_INVALID_DEVICE",
    201: "CUDA_ERROR_INVALID_CONTEXT",
    214: "CUDA_ERROR_ECC_UNCORRECTABLE",
    217: "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
    220: "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    226: "CUDA_ERROR_CONTAINED",
    304: "CUDA_ERROR_OPERATING_SYSTEM",
    700: "CUDA_ERROR_ILLEGAL_ADDRESS",
    702: "CUDA_ERROR_LAUNCH_TIMEOUT",
    709: "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    710: "CUDA_ERROR_ASSERT",
    714: "CUDA_ERROR_HARDWARE_STACK_ERROR",
    715: "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    716: "CUDA_ERROR_MISALIGNED_ADDRESS",
    717: "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    718: "CUDA_ERROR_INVALID_PC",
    719: "CUDA_ERROR_LAUNCH_FAILED",
    721: "CUDA_ERROR_TENSOR_MEMORY_LEAK",
    801: "CUDA_ERROR_NOT_SUPPORTED",
    802: "CUDA_ERROR_SYSTEM_NOT_READY",
    806: "CUDA_ERROR_MPS_RPC_FAILURE",
    810: "CUDA_ERROR_MPS_CLIENT_TERMINATED",
    911: "CUDA_ERROR_EXTERNAL_DEVICE",
    999: "CUDA_ERROR_UNKNOWN",
}
"""CUresult numbers that a fault can return; cudaError_t uses the same numbers."""

NVML_CODES: Mapping[int, str] = {
    1: "NVML_ERROR_UNINITIALIZED",
    3: "NVML_ERROR_NOT_SUPPORTED",
    4: "NVML_ERROR_NO_PERMISSION",
    6: "NVML_ERROR_NOT_FOUND",
    9: "NVML_ERROR_DRIVER_NOT_LOADED",
    10: "NVML_ERROR_TIMEOUT",
    11: "NVML_ERROR_IRQ_ISSUE",
    15: "NVML_ERROR_GPU_IS_LOST",
    16: "NVML_ERROR_RESET_REQUIRED",
    17: "NVML_ERROR_OPERATING_SYSTEM",
    18: "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
    28: "NVML_ERROR_GPU_NOT_FOUND",
    999: "NVML_ERROR_UNKNOWN",
}
"""nvmlReturn_t numbers that a fault can return."""


def cuda_code(number: int) -> Code:
    """The CUDA driver result of that number. Raises UnknownCode."""
    return _code(number, CUDA_CODES, "CUDA driver")


def nvml_code(number: int) -> Code:
    """The NVML result of that number. Raises UnknownCode."""
    return _code(number, NVML_CODES, "NVML")


def _code(number: int, table: Mapping[int, str], api: str) -> Code:
    if number not in table:
        known = ", ".join(f"{code} {name}" for code, name in table.items())
        raise UnknownCode(f"{number} is not among the {api} results that a fault can return: {known}")
    return Code(number, table[number])
