/* Initialisation and devices. The attributes are those of an H100 SXM (CUDA's deviceQuery sample). */
#include <stdio.h>
#include <string.h>

#include "cuda_standin.h"

#define DEVICE(gpu, device)                                \
  TRY(driver_ready());                                     \
  const struct fleet_gpu *gpu = driver_device(device);     \
  NEED(gpu, CUDA_ERROR_INVALID_DEVICE)

API cuInit(unsigned flags) {
  NEED(flags == 0, CUDA_ERROR_INVALID_VALUE);
  return driver_start();
}
OFFER("cuInit", 2000, cuInit);

API cuDriverGetVersion(int *version) {
  NEED(version, CUDA_ERROR_INVALID_VALUE);
  *version = STANDIN_DRIVER_VERSION;
  return CUDA_SUCCESS;
}
OFFER("cuDriverGetVersion", 2020, cuDriverGetVersion);

API cuDeviceGetCount(int *count) {
  NEED(count, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  *count = (int)driver_device_count();
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetCount", 2000, cuDeviceGetCount);

API cuDeviceGet(CUdevice *device, int ordinal) {
  NEED(device, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, ordinal);
  *device = ordinal;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGet", 2000, cuDeviceGet);

API cuDeviceGetName(char *name, int size, CUdevice device) {
  NEED(name && size > 0, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  snprintf(name, (size_t)size, "%s", gpu->name);
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetName", 2000, cuDeviceGetName);

API cuDeviceGetUuid(uint8_t *uuid, CUdevice device) {
  NEED(uuid, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  memcpy(uuid, gpu->uuid, sizeof gpu->uuid);
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetUuid", 9020, cuDeviceGetUuid);

API cuDeviceGetUuid_v2(uint8_t *uuid, CUdevice device) {
  NEED(uuid, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  memcpy(uuid, gpu->uuid, sizeof gpu->uuid);
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetUuid", 11040, cuDeviceGetUuid_v2);

API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  NEED(bytes, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  *bytes = gpu->memory;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceTotalMem", 3020, cuDeviceTotalMem_v2);

API cuDeviceGetPCIBusId(char *text, int size, CUdevice device) {
  NEED(text && size > 0, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  snprintf(text, (size_t)size, "%04X:%02X:%02X.%X", gpu->pci_domain, gpu->pci_bus, gpu->pci_device,
           gpu->pci_function);
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetPCIBusId", 4010, cuDeviceGetPCIBusId);

API cuDeviceGetByPCIBusId(CUdevice *device, const char *text) {
  unsigned domain, bus, slot;
  NEED(device && text, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  NEED(sscanf(text, "%x:%x:%x", &domain, &bus, &slot) == 3, CUDA_ERROR_INVALID_VALUE);
  for (unsigned i = 0; i < driver_device_count(); i++) {
    const struct fleet_gpu *gpu = driver_device((int)i);
    if (gpu->pci_domain == domain && gpu->pci_bus == bus && gpu->pci_device == slot) {
      *device = (int)i;
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_INVALID_DEVICE;
}
OFFER("cuDeviceGetByPCIBusId", 4010, cuDeviceGetByPCIBusId);

API cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
  NEED(major && minor, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  *major = 9, *minor = 0;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceComputeCapability", 2000, cuDeviceComputeCapability);

/* By number of CUdevice_attribute (cuda.h); those that are not listed are 0. PCI ones come from the GPU. */
static const struct {
  int attribute, value;
} attributes[] = {
    {1, 1024},    {2, 1024},    {3, 1024},    {4, 64},      {5, 2147483647}, {6, 65535},  {7, 65535},
    {8, 49152},   {9, 65536},   {10, 32},     {11, 2147483647}, {12, 65536}, {13, 1980000}, {14, 512},
    {15, 1},      {16, 132},    {19, 1},      {31, 1},      {32, 1},      {36, 2619000}, {37, 5120},
    {38, 52428800}, {39, 2048}, {40, 3},      {41, 1},      {75, 9},      {78, 1},      {79, 1},
    {80, 1},      {81, 233472}, {82, 65536},  {83, 1},      {86, 1},      {89, 1},      {90, 1},
    {92, 1},      {95, 1},      {97, 232448}, {99, 1},      {101, 1},     {106, 32},    {108, 32768000},
    {109, 134213632}, {111, 1024}, {115, 1},  {119, 1},     {120, 1},     {121, 1},
};

API cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  NEED(value && attribute > 0 && attribute < 256, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  *value = 0;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    if (attributes[i].attribute == attribute) *value = attributes[i].value;
  if (attribute == 33) *value = (int)gpu->pci_bus;
  if (attribute == 34) *value = (int)gpu->pci_device;
  if (attribute == 50) *value = (int)gpu->pci_domain;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetAttribute", 2000, cuDeviceGetAttribute);

API cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer) {
  NEED(can, CUDA_ERROR_INVALID_VALUE);
  DEVICE(gpu, device);
  NEED(driver_device(peer), CUDA_ERROR_INVALID_DEVICE);
  *can = device != peer;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceCanAccessPeer", 4000, cuDeviceCanAccessPeer);
