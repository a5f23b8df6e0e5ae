"""Dynamo's mock engine, dying like a real one: it uses a GPU through the driver all the while, and ends on an error.

Runs in Dynamo's own virtual environment, so with the standard library and Dynamo alone. Arguments are the mocker's.
"""

import ctypes
import os
import sys
import threading
import time

PERIOD_S = 0.02
"""An engine launches something every step; a fault is noticed within one."""
BYTES = 4096


def use_the_gpu() -> None:
    """Allocate, copy and free, for ever; the process ends with the first call that fails."""
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    checked("cuInit", cuda.cuInit(0))
    checked("cuDeviceGet", cuda.cuDeviceGet(ctypes.byref(device), 0))
    checked("cuCtxCreate", cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    data = ctypes.create_string_buffer(BYTES)
    while True:
        checked("cuMemAlloc", cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(BYTES)))
        checked("cuMemcpyHtoD", cuda.cuMemcpyHtoD_v2(memory, data, ctypes.c_size_t(BYTES)))
        checked("cuMemFree", cuda.cuMemFree_v2(memory))
        time.sleep(PERIOD_S)  # the engine's step


def checked(function: str, code: int) -> None:
    """Die of an error, as engines do: at once, with their requests unanswered."""
    if code:
        print(f"CUDA error {code} in {function}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    from dynamo.mocker.main import main

    threading.Thread(target=use_the_gpu, daemon=True).start()
    main()
