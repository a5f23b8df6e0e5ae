/* Start and stop, the system's versions, and handles. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lock.h"
#include "nvml_standin.h"

static struct fleet_gpu gpus[FLEET_MAX];
static unsigned count, users;

/* A child that was forked while the list was being read has no user yet, and reads it itself. */
static nvmlReturn_t start(void) {
  driver_lock();
  if (!users) count = fleet_read(gpus);
  __atomic_store_n(&users, users + 1, __ATOMIC_RELEASE);
  driver_unlock();
  return NVML_SUCCESS;
}

nvmlReturn_t nvml_ready(void) { return users ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED; }
unsigned nvml_count(void) { return count; }
nvmlDevice_t nvml_device(unsigned index) { return index < count ? &gpus[index] : NULL; }

nvmlReturn_t nvml_check(nvmlDevice_t device) {
  TRY(nvml_ready());
  return device >= gpus && device < gpus + count ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

static nvmlReturn_t put(char *into, unsigned size, const char *text) {
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  NEED(strlen(text) < size, NVML_ERROR_INSUFFICIENT_SIZE);
  strcpy(into, text);
  return NVML_SUCCESS;
}

API nvmlInit_v2(void) { return start(); }
API nvmlInit(void) {
  TRY(start());
  return NVML_SUCCESS;
}
API nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  return start();
}

API nvmlShutdown(void) {
  driver_lock();
  nvmlReturn_t ready = nvml_ready();
  if (ready == NVML_SUCCESS) users--;
  driver_unlock();
  return ready;
}

__attribute__((visibility("default"))) const char *nvmlErrorString(int code) {
  static const struct {
    int code;
    const char *text;
  } texts[] = {
      {0, "Success"},          {1, "Uninitialized"},     {2, "Invalid Argument"},     {3, "Not Supported"},
      {4, "Insufficient Permissions"}, {6, "Not Found"}, {7, "Insufficient Size"},    {9, "Driver Not Loaded"},
      {10, "Timeout"},         {12, "NVML Shared Library Not Found"}, {13, "Function Not Found"},
      {15, "GPU is lost"},     {16, "GPU requires reset"}, {17, "The operating system has blocked the request."},
      {18, "Driver/library version mismatch"}, {20, "Insufficient Memory"}, {28, "The requested device was not found"},
      {999, "Unknown Error"},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (texts[i].code == code) return texts[i].text;
  return "Unknown Error code";
}

API nvmlSystemGetDriverVersion(char *into, unsigned size) {
  TRY(nvml_ready());
  return put(into, size, "570.0-offbus");
}
API nvmlSystemGetNVMLVersion(char *into, unsigned size) {
  TRY(nvml_ready());
  return put(into, size, "12.570.0-offbus");
}
API nvmlSystemGetCudaDriverVersion(int *into) {
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  *into = 12080;
  return NVML_SUCCESS;
}
API nvmlSystemGetCudaDriverVersion_v2(int *into) {
  TRY(nvmlSystemGetCudaDriverVersion(into));
  return NVML_SUCCESS;
}

static nvmlReturn_t get_count(unsigned *into) {
  TRY(nvml_ready());
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  *into = count;
  return NVML_SUCCESS;
}
API nvmlDeviceGetCount(unsigned *into) { return get_count(into); }
API nvmlDeviceGetCount_v2(unsigned *into) {
  TRY(get_count(into));
  return NVML_SUCCESS;
}

static nvmlReturn_t by_index(unsigned index, nvmlDevice_t *into) {
  TRY(nvml_ready());
  NEED(into && index < count, NVML_ERROR_INVALID_ARGUMENT);
  *into = nvml_device(index);
  return NVML_SUCCESS;
}
API nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *into) { return by_index(index, into); }
API nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *into) {
  TRY(by_index(index, into));
  return NVML_SUCCESS;
}

API nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *into) {
  TRY(nvml_ready());
  NEED(uuid && into, NVML_ERROR_INVALID_ARGUMENT);
  for (unsigned i = 0; i < count; i++)
    if (strcasecmp(gpus[i].uuid_text, uuid) == 0) return by_index(i, into);
  return NVML_ERROR_NOT_FOUND;
}

static nvmlReturn_t by_pci(const char *text, nvmlDevice_t *into) {
  unsigned domain, bus, slot;
  TRY(nvml_ready());
  NEED(text && into && sscanf(text, "%x:%x:%x", &domain, &bus, &slot) == 3, NVML_ERROR_INVALID_ARGUMENT);
  for (unsigned i = 0; i < count; i++)
    if (gpus[i].pci_domain == domain && gpus[i].pci_bus == bus && gpus[i].pci_device == slot) return by_index(i, into);
  return NVML_ERROR_NOT_FOUND;
}
API nvmlDeviceGetHandleByPciBusId(const char *text, nvmlDevice_t *into) { return by_pci(text, into); }
API nvmlDeviceGetHandleByPciBusId_v2(const char *text, nvmlDevice_t *into) {
  TRY(by_pci(text, into));
  return NVML_SUCCESS;
}

API nvmlDeviceGetName(nvmlDevice_t device, char *into, unsigned size) {
  TRY(nvml_check(device));
  return put(into, size, device->name);
}
API nvmlDeviceGetUUID(nvmlDevice_t device, char *into, unsigned size) {
  TRY(nvml_check(device));
  return put(into, size, device->uuid_text);
}
API nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *into) { STORE(device, into, (unsigned)(device - gpus)); }
API nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *into) { STORE(device, into, device->index); }

struct pci_info {
  char bus_id_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

static nvmlReturn_t pci_info(nvmlDevice_t device, struct pci_info *into) {
  TRY(nvml_check(device));
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  memset(into, 0, sizeof *into);
  into->domain = device->pci_domain, into->bus = device->pci_bus, into->device = device->pci_device;
  into->device_id = 0x233010de, into->subsystem_id = 0x16c110de; /* H100 SXM5 80GB */
  snprintf(into->bus_id_legacy, sizeof into->bus_id_legacy, "%04X:%02X:%02X.0", device->pci_domain & 0xffffu,
           device->pci_bus & 0xffu, device->pci_device & 0xffu);
  snprintf(into->bus_id, sizeof into->bus_id, "%08X:%02X:%02X.0", device->pci_domain, device->pci_bus & 0xffu,
           device->pci_device & 0xffu);
  return NVML_SUCCESS;
}
API nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, struct pci_info *into) { return pci_info(device, into); }
