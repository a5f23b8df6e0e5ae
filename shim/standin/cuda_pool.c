/* Memory pools for stream-ordered allocations. A pool retains nothing: what is freed is free. */
#include <stdlib.h>

#include "cuda_standin.h"

/* CUmemPool_attribute */
enum { RELEASE_THRESHOLD = 4, RESERVED_NOW = 5, RESERVED_MOST = 6, USED_NOW = 7, USED_MOST = 8 };

struct pool {
  struct object object;
  CUdevice device;
  bool is_default;
  int reuse[4]; /* attributes 1 to 3 */
  uint64_t threshold, most;
};

static CUpool defaults[FLEET_MAX], current[FLEET_MAX];

static CUresult make(CUpool *into, CUdevice device, bool is_default) {
  CUpool pool = calloc(1, sizeof *pool);
  NEED(pool, CUDA_ERROR_OUT_OF_MEMORY);
  pool->device = device;
  pool->is_default = is_default;
  for (int i = 1; i < 4; i++) pool->reuse[i] = 1;
  object_add(&pool->object, POOL);
  *into = pool;
  return CUDA_SUCCESS;
}

static CUresult default_of(CUpool *into, CUdevice device) {
  TRY(driver_ready());
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  if (!defaults[device]) TRY(make(&defaults[device], device, true));
  *into = defaults[device];
  return CUDA_SUCCESS;
}

static CUresult check(CUpool pool) {
  TRY(driver_ready());
  return object_is(pool, POOL) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuDeviceGetDefaultMemPool(CUpool *into, CUdevice device) { return default_of(into, device); }
OFFER("cuDeviceGetDefaultMemPool", 11020, cuDeviceGetDefaultMemPool);

API cuDeviceGetMemPool(CUpool *into, CUdevice device) {
  TRY(default_of(into, device));
  if (current[device] && object_is(current[device], POOL)) *into = current[device];
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetMemPool", 11020, cuDeviceGetMemPool);

API cuDeviceSetMemPool(CUdevice device, CUpool pool) {
  TRY(check(pool));
  NEED(driver_device(device) && pool->device == device, CUDA_ERROR_INVALID_VALUE);
  current[device] = pool;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceSetMemPool", 11020, cuDeviceSetMemPool);

/* CUmemPoolProps: allocation type (1 = pinned), handle types, location type (1 = device) and id, … */
API cuMemPoolCreate(CUpool *into, const int *properties) {
  TRY(driver_ready());
  NEED(into && properties && properties[0] == 1, CUDA_ERROR_INVALID_VALUE);
  NEED(properties[2] == 1 && driver_device(properties[3]), CUDA_ERROR_INVALID_DEVICE);
  return make(into, properties[3], false);
}
OFFER("cuMemPoolCreate", 11020, cuMemPoolCreate);

API cuMemPoolDestroy(CUpool pool) {
  TRY(check(pool));
  NEED(!pool->is_default && object_remove(pool, POOL), CUDA_ERROR_INVALID_VALUE);
  return CUDA_SUCCESS; /* not freed: allocations may still name it */
}
OFFER("cuMemPoolDestroy", 11020, cuMemPoolDestroy);

API cuMemPoolTrimTo(CUpool pool, size_t keep) {
  (void)keep;
  return check(pool);
}
OFFER("cuMemPoolTrimTo", 11020, cuMemPoolTrimTo);

API cuMemPoolSetAttribute(CUpool pool, int attribute, const void *value) {
  TRY(check(pool));
  NEED(value, CUDA_ERROR_INVALID_VALUE);
  if (attribute >= 1 && attribute <= 3) pool->reuse[attribute] = *(const int *)value;
  else if (attribute == RELEASE_THRESHOLD) pool->threshold = *(const uint64_t *)value;
  else if (attribute == RESERVED_MOST || attribute == USED_MOST) pool->most = memory_used_of(pool);
  else return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}
OFFER("cuMemPoolSetAttribute", 11020, cuMemPoolSetAttribute);

API cuMemPoolGetAttribute(CUpool pool, int attribute, void *value) {
  TRY(check(pool));
  NEED(value, CUDA_ERROR_INVALID_VALUE);
  if (attribute >= 1 && attribute <= 3) *(int *)value = pool->reuse[attribute];
  else if (attribute == RELEASE_THRESHOLD) *(uint64_t *)value = pool->threshold;
  else if (attribute == RESERVED_NOW || attribute == USED_NOW) *(uint64_t *)value = memory_used_of(pool);
  else if (attribute == RESERVED_MOST || attribute == USED_MOST) *(uint64_t *)value = pool->most;
  else return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}
OFFER("cuMemPoolGetAttribute", 11020, cuMemPoolGetAttribute);

static CUresult allocate(CUdeviceptr *into, size_t size, CUpool pool) {
  TRY(memory_allocate(into, size, MEMORY_DEVICE, pool->device, pool));
  if (memory_used_of(pool) > pool->most) pool->most = memory_used_of(pool);
  return CUDA_SUCCESS;
}

API cuMemAllocFromPoolAsync(CUdeviceptr *into, size_t size, CUpool pool, CUstream stream) {
  TRY(stream_check(stream));
  TRY(check(pool));
  return allocate(into, size, pool);
}
OFFER("cuMemAllocFromPoolAsync", 11020, cuMemAllocFromPoolAsync);

API cuMemAllocAsync(CUdeviceptr *into, size_t size, CUstream stream) {
  CUpool pool;
  CURRENT(context);
  TRY(stream_check(stream));
  TRY(cuDeviceGetMemPool(&pool, context->device));
  return allocate(into, size, pool);
}
OFFER("cuMemAllocAsync", 11020, cuMemAllocAsync);
