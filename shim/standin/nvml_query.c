/* More queries of tools: utilisation of engines, limits, links, throughput, topology. Idle and healthy, an H100 SXM's
 * constants; what an H100 does not have (fans, displays) is not supported, as in its driver. */
#include <stdio.h>
#include <string.h>

#include "nvml_standin.h"

/* Not on this board. */
static nvmlReturn_t lacks(nvmlDevice_t device, const void *into) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  return NVML_ERROR_NOT_SUPPORTED;
}
API nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned *into) { return lacks(device, into); }
API nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned *into) { STORE(device, into, 0); }
API nvmlDeviceGetDisplayMode(nvmlDevice_t device, int *into) { STORE(device, into, 0); }
API nvmlDeviceGetDisplayActive(nvmlDevice_t device, int *into) {
  TRY(nvml_check(device));
  return lacks(device, into);
}
API nvmlDeviceGetDriverModel(nvmlDevice_t device, int *current, int *pending) {
  (void)pending;
  return lacks(device, current); /* Windows only */
}
API nvmlDeviceGetDriverModel_v2(nvmlDevice_t device, int *current, int *pending) {
  TRY(lacks(device, current));
  NEED(pending, NVML_ERROR_INVALID_ARGUMENT);
  return NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t idle(nvmlDevice_t device, unsigned *percent, unsigned *period_us) {
  NEED(period_us, NVML_ERROR_INVALID_ARGUMENT);
  *period_us = 100000;
  STORE(device, percent, 0);
}
API nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned *percent, unsigned *period_us) {
  return idle(device, percent, period_us);
}
API nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned *percent, unsigned *period_us) {
  TRY(idle(device, percent, period_us));
  return NVML_SUCCESS;
}

API nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, int type, unsigned *into) {
  static const unsigned mhz[] = {1980, 1980, 2619, 1545}; /* graphics, SM, memory, video */
  NEED(type >= 0 && type < 4, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, mhz[type]);
}
API nvmlDeviceGetApplicationsClock(nvmlDevice_t device, int type, unsigned *into) {
  TRY(nvmlDeviceGetMaxClockInfo(device, type, into));
  return NVML_SUCCESS;
}
API nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *into) {
  STORE(device, into, 1); /* idle */
}
API nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *into) {
  TRY(nvmlDeviceGetCurrentClocksThrottleReasons(device, into));
  return NVML_SUCCESS;
}

struct temperature {
  unsigned version;
  int sensor, celsius;
};
API nvmlDeviceGetTemperatureV(nvmlDevice_t device, struct temperature *into) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  NEED(into->version == (sizeof *into | 1u << 24), NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  NEED(into->sensor == 0, NVML_ERROR_INVALID_ARGUMENT);
  into->celsius = 34;
  return NVML_SUCCESS;
}
API nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, int which, unsigned *into) {
  static const unsigned celsius[] = {92, 89, 0, 87}; /* shutdown, slowdown, memory, GPU maximum */
  NEED(which >= 0 && which < 4, NVML_ERROR_INVALID_ARGUMENT);
  NEED(celsius[which], NVML_ERROR_NOT_SUPPORTED);
  STORE(device, into, celsius[which]);
}

API nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *least, unsigned *most) {
  NEED(most, NVML_ERROR_INVALID_ARGUMENT);
  *most = 700000;
  STORE(device, least, 200000);
}
API nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned *into) {
  STORE(device, into, 700000);
}
API nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *into) { STORE(device, into, 1); }

API nvmlDeviceGetPcieThroughput(nvmlDevice_t device, int counter, unsigned *kib_per_s) {
  NEED(counter == 0 || counter == 1, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, kib_per_s, 0);
}
API nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned *into) { STORE(device, into, 5); }
API nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned *into) {
  TRY(nvmlDeviceGetCurrPcieLinkGeneration(device, into));
  return NVML_SUCCESS;
}
API nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned *into) { STORE(device, into, 16); }
API nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned *into) {
  TRY(nvmlDeviceGetCurrPcieLinkWidth(device, into));
  return NVML_SUCCESS;
}
API nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned *into) { STORE(device, into, 0); }

struct bar1 {
  unsigned long long total, free, used;
};
API nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, struct bar1 *into) {
  STORE(device, into, ((struct bar1){128ull << 30, 128ull << 30, 0}));
}

/* The stand-in's GPUs are not linked: peers reach one another through the host. */
API nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, int *into) {
  NEED(link < 18, NVML_ERROR_INVALID_ARGUMENT);
  STORE(device, into, 0);
}
API nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t one, nvmlDevice_t other, int *level) {
  TRY(nvml_check(other));
  STORE(one, level, one == other ? 0 : 40 /* the same CPU */);
}
API nvmlDeviceGetP2PStatus(nvmlDevice_t one, nvmlDevice_t other, int capability, int *status) {
  TRY(nvml_check(other));
  NEED(capability >= 0 && capability < 6, NVML_ERROR_INVALID_ARGUMENT);
  STORE(one, status, 0 /* OK */);
}

static nvmlReturn_t text(nvmlDevice_t device, char *into, unsigned size, const char *value) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  NEED(strlen(value) < size, NVML_ERROR_INSUFFICIENT_SIZE);
  strcpy(into, value);
  return NVML_SUCCESS;
}
API nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *into, unsigned size) {
  return text(device, into, size, "96.00.00.00.00");
}
API nvmlDeviceGetBoardPartNumber(nvmlDevice_t device, char *into, unsigned size) {
  TRY(text(device, into, size, "offbus stand-in"));
  return NVML_SUCCESS;
}
API nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned *into) { STORE(device, into, device->pci_bus << 8); }
API nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned *into) {
  TRY(nvml_check(device));
  STORE(device, into, 0);
}
API nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned *into) { STORE(device, into, 16896); }
API nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned *into) { STORE(device, into, 5120); }
API nvmlDeviceValidateInforom(nvmlDevice_t device) { return nvml_check(device); }

/* Bit n of word n / 64 is CPU n. Every GPU is near every CPU. */
API nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned n, unsigned long *words) {
  TRY(nvml_check(device));
  NEED(n && words, NVML_ERROR_INVALID_ARGUMENT);
  memset(words, 0xff, n * sizeof *words);
  return NVML_SUCCESS;
}
