"""A program that uses the GPU through the driver API, one call for each line that it is sent. Run by the tests."""

import ctypes
import sys


def main() -> None:
    """`alloc`, `nvml`: make the call and print its code."""
    cuda = ctypes.CDLL("libcuda.so.1")
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    context, memory, device = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_int()
    handle, temperature = ctypes.c_void_p(), ctypes.c_uint()
    codes = [
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
        cuda.cuCtxSetCurrent(context),
        nvml.nvmlInit_v2(),
        nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)),
    ]
    print("ready", *codes, flush=True)
    for line in sys.stdin:
        if line.strip() == "alloc":
            print(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(1024)), flush=True)
        else:
            print(nvml.nvmlDeviceGetTemperature(handle, 0, ctypes.byref(temperature)), flush=True)


if __name__ == "__main__":
    main()
