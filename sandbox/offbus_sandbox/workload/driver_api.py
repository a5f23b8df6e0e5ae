"""The CUDA driver API by ctypes: the functions that the worker uses, typed, with errors as exceptions.

The loader finds the library (`libcuda.so.1`), as for every CUDA program: a preloaded shim sees each call. Names are
those that the real library exports for the current ABI (`cuMemAlloc_v2` …, cuda.h). `CudaError` names function, code
and error; `OSError` means that there is no driver. Must not: retry, or survive an error.
"""

import ctypes
from collections.abc import Iterator, Sequence
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

__all__ = ["CudaError", "Device", "Driver"]

LIBRARY = "libcuda.so.1"
_UNKNOWN = "CUDA_ERROR_UNKNOWN"

Pointer = int
"""A device pointer (CUdeviceptr, 64 bits)."""
Handle = c_void_p


class CudaError(Exception):
    """Raised when a driver call does not return CUDA_SUCCESS. Its text is what engines log."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its primary context."""

    uuid: bytes
    """16 bytes."""
    name: str
    """Such as "NVIDIA H100 80GB HBM3"."""
    context: Handle


class Driver:
    """The loaded library. Raises OSError when there is none, CudaError when `cuInit` fails."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._lib = ctypes.CDLL(library)
        self._call("cuInit", c_uint(0))

    def devices(self) -> Iterator[Device]:
        """Open every GPU that the process sees; each one's context is current in the calling thread until the next."""
        count = c_int()
        self._call("cuDeviceGetCount", byref(count))
        for ordinal in range(count.value):
            device, uuid, name = c_int(), (ctypes.c_ubyte * 16)(), ctypes.create_string_buffer(100)
            self._call("cuDeviceGet", byref(device), c_int(ordinal))
            self._call("cuDeviceGetUuid_v2", byref(uuid), device)
            self._call("cuDeviceGetName", name, c_int(len(name)), device)
            context = Handle()
            self._call("cuDevicePrimaryCtxRetain", byref(context), device)
            self.set_current(context)
            yield Device(bytes(uuid), name.value.decode("utf-8", "replace"), context)

    def set_current(self, context: Handle) -> None:
        """Make a context current in the calling thread."""
        self._call("cuCtxSetCurrent", context)

    def load_kernel(self, image: bytes, name: str) -> Handle:
        """A kernel of a module, which is loaded from PTX text into the current context."""
        module, function = Handle(), Handle()
        self._call("cuModuleLoadData", byref(module), c_char_p(image))
        self._call("cuModuleGetFunction", byref(function), module, c_char_p(name.encode()))
        return function

    def allocate(self, size: int) -> Pointer:
        """Device memory, in bytes."""
        pointer = c_uint64()
        self._call("cuMemAlloc_v2", byref(pointer), c_size_t(size))
        return pointer.value

    def free(self, pointer: Pointer) -> None:
        """Free device memory."""
        self._call("cuMemFree_v2", c_uint64(pointer))

    def copy_to_device(self, pointer: Pointer, data: bytes) -> None:
        """Host to device."""
        self._call("cuMemcpyHtoD_v2", c_uint64(pointer), c_char_p(data), c_size_t(len(data)))

    def copy_from_device(self, pointer: Pointer, size: int) -> bytes:
        """Device to host, once the current context's work is done."""
        self._call("cuCtxSynchronize")
        data = ctypes.create_string_buffer(size)
        self._call("cuMemcpyDtoH_v2", data, c_uint64(pointer), c_size_t(size))
        return data.raw

    def launch(
        self, function: Handle, threads: int, arguments: Sequence[c_uint64 | c_float | c_uint]
    ) -> None:
        """Launch one block on the default stream; the arguments' types are the kernel's."""
        pointers = (c_void_p * len(arguments))(*(ctypes.addressof(a) for a in arguments))
        one = c_uint(1)
        grid_and_block = (one, one, one, c_uint(threads), one, one)
        self._call("cuLaunchKernel", function, *grid_and_block, c_uint(0), Handle(), pointers, None)

    def _call(self, name: str, *arguments: Any) -> None:
        code: int = getattr(self._lib, name)(*arguments)
        if code != 0:
            text = c_char_p()
            known = self._lib.cuGetErrorName(c_int(code), byref(text)) == 0 and text.value is not None
            error = (text.value or b"").decode("ascii", "replace") if known else _UNKNOWN
            raise CudaError(f"CUDA error: {error} ({code}) in {name}")
