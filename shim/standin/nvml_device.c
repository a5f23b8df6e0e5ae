/* What a GPU reports besides what the fleet file says of it (name, memory, address): it is idle and healthy. */
#include <string.h>

#include "nvml_standin.h"

struct memory_info {
  unsigned long long total, free, used;
};
struct memory_info_v2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};

API nvmlDeviceGetMemoryInfo(nvmlDevice_t device, struct memory_info *into) {
  STORE(device, into, ((struct memory_info){device->memory, device->memory, 0}));
}
API nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, struct memory_info_v2 *into) {
  unsigned version = (unsigned)sizeof *into | 2u << 24;
  NEED(!into || into->version == version, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  STORE(device, into, ((struct memory_info_v2){version, device->memory, 0, device->memory, 0}));
}

struct utilization {
  unsigned gpu, memory;
};
API nvmlDeviceGetUtilizationRates(nvmlDevice_t device, struct utilization *into) {
  STORE(device, into, ((struct utilization){0, 0}));
}
API nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *into) {
  NEED(sensor == 0, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, 34);
}
API nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *into) { STORE(device, into, 69000); }
API nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *into) { STORE(device, into, 700000); }
API nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned *into) { STORE(device, into, 700000); }
API nvmlDeviceGetPerformanceState(nvmlDevice_t device, int *into) { STORE(device, into, 0); }
API nvmlDeviceGetPersistenceMode(nvmlDevice_t device, int *into) { STORE(device, into, 1); }
API nvmlDeviceGetComputeMode(nvmlDevice_t device, int *into) { STORE(device, into, 0); }
API nvmlDeviceGetBrand(nvmlDevice_t device, int *into) { STORE(device, into, 14); /* NVIDIA */ }
API nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *into) { STORE(device, into, 9); /* Hopper */ }
API nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *into) { STORE(device, into, 0); }
API nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *into) { STORE(device, into, 0); }

API nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
  TRY(nvml_check(device));
  NEED(current && pending, NVML_ERROR_INVALID_ARGUMENT);
  return NVML_ERROR_NOT_SUPPORTED;
}

API nvmlDeviceGetClockInfo(nvmlDevice_t device, int type, unsigned *into) {
  static const unsigned mhz[] = {345, 345, 2619, 765}; /* graphics, SM, memory, video */
  NEED(type >= 0 && type < 4, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, mhz[type]);
}

API nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
  NEED(minor, NVML_ERROR_INVALID_ARGUMENT);
  *minor = 0;
  STORE(device, major, 9);
}

API nvmlDeviceGetSerial(nvmlDevice_t device, char *into, unsigned size) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  NEED(size > 1, NVML_ERROR_INSUFFICIENT_SIZE);
  strcpy(into, "0");
  return NVML_SUCCESS;
}

API nvmlDeviceGetEccMode(nvmlDevice_t device, int *current, int *pending) {
  NEED(pending, NVML_ERROR_INVALID_ARGUMENT);
  *pending = 1;
  STORE(device, current, 1);
}
API nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int error_type, int counter_type, unsigned long long *into) {
  NEED(error_type >= 0 && error_type < 2 && counter_type >= 0 && counter_type < 2, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, 0);
}
API nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, int error_type, int counter_type, int location,
                                    unsigned long long *into) {
  NEED(error_type >= 0 && error_type < 2 && counter_type >= 0 && counter_type < 2, NVML_ERROR_INVALID_ARGUMENT);
  NEED(location >= 0 && location < 8, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, 0);
}
API nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *correctable, unsigned *uncorrectable, unsigned *pending,
                              unsigned *failed) {
  NEED(correctable && uncorrectable && pending, NVML_ERROR_INVALID_ARGUMENT);
  *correctable = *uncorrectable = *pending = 0;
  STORE(device, failed, 0);
}
API nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, int *into) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  return NVML_ERROR_NOT_SUPPORTED; /* Hopper remaps rows instead */
}

/* Processes are those of other programs, of which the stand-in knows none. */
static nvmlReturn_t no_processes(nvmlDevice_t device, unsigned *count) { STORE(device, count, 0); }
API nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, void *infos) {
  (void)infos;
  return no_processes(device, count);
}
API nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *count, void *infos) {
  (void)infos;
  TRY(no_processes(device, count));
  return NVML_SUCCESS;
}

struct field_value {
  unsigned field, scope;
  long long timestamp, latency_us;
  int type, result;
  unsigned long long value;
};
enum { FIELD_RECOVERY_ACTION = 230, VALUE_UNSIGNED_INT = 1 };

API nvmlDeviceGetFieldValues(nvmlDevice_t device, int n, struct field_value *values) {
  TRY(nvml_check(device));
  NEED(n > 0 && values, NVML_ERROR_INVALID_ARGUMENT);
  for (int i = 0; i < n; i++) {
    bool known = values[i].field == FIELD_RECOVERY_ACTION;
    values[i].type = VALUE_UNSIGNED_INT;
    values[i].value = 0;
    values[i].result = known ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
  }
  return NVML_SUCCESS;
}
