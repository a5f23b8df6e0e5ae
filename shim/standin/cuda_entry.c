/* cuGetProcAddress, error texts, and functions that the stand-in does not have. */
#include <string.h>

#include "cuda_standin.h"

extern struct offer __start_offers[] __attribute__((visibility("hidden")));
extern struct offer __stop_offers[] __attribute__((visibility("hidden")));

/* The newest version of a name that a program built against `version` may get. */
static void *offered(const char *base, int version) {
  const struct offer *best = NULL;
  for (const struct offer *o = __start_offers; o < __stop_offers; o++)
    if (strcmp(o->base, base) == 0 && o->since <= version && (!best || o->since > best->since)) best = o;
  return best ? best->function : NULL;
}

static bool known(const char *base) {
  for (const struct offer *o = __start_offers; o < __stop_offers; o++)
    if (strcmp(o->base, base) == 0) return true;
  return false;
}

enum { QUERY_SUCCESS = 0, QUERY_SYMBOL_NOT_FOUND = 1, QUERY_VERSION_NOT_SUFFICIENT = 2 };

static CUresult find(const char *symbol, void **into, int version, int *status) {
  NEED(symbol && into, CUDA_ERROR_INVALID_VALUE);
  *into = offered(symbol, version);
  if (status) *status = *into ? QUERY_SUCCESS : known(symbol) ? QUERY_VERSION_NOT_SUFFICIENT : QUERY_SYMBOL_NOT_FOUND;
  return *into || status ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

/* Flags ask for legacy or per-thread default streams; here every stream is idle, so both are the same function. */
API cuGetProcAddress(const char *symbol, void **into, int version, uint64_t flags) {
  NEED(flags <= 2, CUDA_ERROR_INVALID_VALUE);
  return find(symbol, into, version, NULL);
}
OFFER("cuGetProcAddress", 11030, cuGetProcAddress);

API cuGetProcAddress_v2(const char *symbol, void **into, int version, uint64_t flags, int *status) {
  NEED(flags <= 2, CUDA_ERROR_INVALID_VALUE);
  return find(symbol, into, version, status);
}
OFFER("cuGetProcAddress", 12000, cuGetProcAddress_v2);

API cuGetExportTable(const void **table, const void *id) {
  NEED(table && id, CUDA_ERROR_INVALID_VALUE);
  *table = NULL;
  return CUDA_ERROR_NOT_FOUND;
}
OFFER("cuGetExportTable", 3000, cuGetExportTable);

API cuProfilerStart(void) { return driver_ready(); }
OFFER("cuProfilerStart", 4000, cuProfilerStart);

API cuProfilerStop(void) {
  TRY(driver_ready());
  return CUDA_SUCCESS;
}
OFFER("cuProfilerStop", 4000, cuProfilerStop);

/* Names and texts of cuda.h 12.9: those that the stand-in or a drill can return. */
static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "peer access is not supported between these two devices"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"},
    {226, "CUDA_ERROR_CONTAINED", "Invalid access of peer GPU memory over nvlink or a hardware error"},
    {301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {303, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", "shared object initialization failed"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled"},
    {705, "CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", "peer access has not been enabled"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {710, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"},
    {713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    {714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"},
    {718, "CUDA_ERROR_INVALID_PC", "invalid program counter"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {721, "CUDA_ERROR_TENSOR_MEMORY_LEAK", "tensor memory not completely freed"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {806, "CUDA_ERROR_MPS_RPC_FAILURE", "MPS client failed to connect to the MPS control daemon or the MPS server"},
    {810, "CUDA_ERROR_MPS_CLIENT_TERMINATED", "MPS client has been terminated by the server"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {903, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "the capture was not initiated in this stream"},
    {911, "CUDA_ERROR_EXTERNAL_DEVICE", "an async error has occurred in external entity outside of CUDA"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static size_t error_index(int code) {
  size_t i = 0;
  while (i < sizeof errors / sizeof *errors && errors[i].code != code) i++;
  return i;
}

API cuGetErrorName(int code, const char **into) {
  size_t i = error_index(code);
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  *into = i < sizeof errors / sizeof *errors ? errors[i].name : NULL;
  return *into ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
OFFER("cuGetErrorName", 6000, cuGetErrorName);

API cuGetErrorString(int code, const char **into) {
  size_t i = error_index(code);
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  *into = i < sizeof errors / sizeof *errors ? errors[i].text : NULL;
  return *into ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
OFFER("cuGetErrorString", 6000, cuGetErrorString);
