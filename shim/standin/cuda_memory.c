/* Memory of the devices and pinned memory of the host. Addresses are unified: a device pointer is the address of
 * the host memory behind it. Every GPU has the number of bytes in its line, counted per process. */
#include <stdlib.h>
#include <sys/mman.h>

#include "cuda_standin.h"

static struct memory *memories;

static bool on_device(const struct memory *memory, CUdevice device) {
  return (memory->kind == MEMORY_DEVICE || memory->kind == MEMORY_MANAGED) && memory->device == device;
}

uint64_t memory_used(CUdevice device) {
  uint64_t used = 0;
  driver_lock();
  for (const struct memory *m = memories; m; m = m->next) used += on_device(m, device) ? m->size : 0;
  driver_unlock();
  return used;
}

const struct memory *memory_at(CUdeviceptr at, size_t size) {
  const struct memory *found = NULL;
  driver_lock();
  for (const struct memory *m = memories; m && !found; m = m->next)
    if (at >= m->at && at - m->at <= m->size && size <= m->size - (at - m->at)) found = m;
  driver_unlock();
  return found;
}

uint64_t memory_used_of(CUpool pool) {
  uint64_t used = 0;
  driver_lock();
  for (const struct memory *m = memories; m; m = m->next) used += m->pool == pool ? m->size : 0;
  driver_unlock();
  return used;
}

static void keep(struct memory *memory) {
  driver_lock();
  memory->next = memories;
  memories = memory;
  driver_unlock();
}

static void give_back(struct memory *memory) {
  if (memory->kind != MEMORY_REGISTERED) munmap((void *)memory->at, memory->size);
  free(memory);
}

CUresult memory_allocate(CUdeviceptr *into, size_t size, enum memory_kind kind, CUdevice device, CUpool pool) {
  CURRENT(context);
  NEED(into && size, CUDA_ERROR_INVALID_VALUE);
  if (kind != MEMORY_HOST) {
    uint64_t total = driver_device(device)->memory, used = memory_used(device);
    NEED(size <= total && used <= total - size, CUDA_ERROR_OUT_OF_MEMORY);
  }
  struct memory *memory = calloc(1, sizeof *memory);
  NEED(memory, CUDA_ERROR_OUT_OF_MEMORY);
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    free(memory);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *memory = (struct memory){NULL, (CUdeviceptr)at, size, kind, device, context, pool};
  keep(memory);
  *into = memory->at;
  return CUDA_SUCCESS;
}

static CUresult allocate(CUdeviceptr *into, size_t size, enum memory_kind kind) {
  CURRENT(context);
  return memory_allocate(into, size, kind, context->device, NULL);
}

/* Frees what was allocated at exactly this address as one of the kinds (bits 1 << kind). */
static CUresult release(CUdeviceptr at, unsigned kinds, CUresult unknown) {
  struct memory *found = NULL;
  driver_lock();
  for (struct memory **m = &memories; *m && !found; m = found ? m : &(*m)->next)
    if ((*m)->at == at && kinds & 1u << (*m)->kind) {
      found = *m;
      *m = found->next;
    }
  driver_unlock();
  NEED(found, unknown);
  give_back(found);
  return CUDA_SUCCESS;
}

void memory_drop_context(CUcontext context) {
  struct memory *dropped = NULL;
  driver_lock();
  for (struct memory **m = &memories; *m;) {
    struct memory *memory = *m;
    if (memory->context != context) {
      m = &memory->next;
      continue;
    }
    *m = memory->next;
    memory->next = dropped;
    dropped = memory;
  }
  driver_unlock();
  while (dropped) {
    struct memory *memory = dropped;
    dropped = memory->next;
    give_back(memory);
  }
}

API cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
  NEED(free_bytes && total_bytes, CUDA_ERROR_INVALID_VALUE);
  CURRENT(context);
  *total_bytes = driver_device(context->device)->memory;
  *free_bytes = *total_bytes - memory_used(context->device);
  return CUDA_SUCCESS;
}
OFFER("cuMemGetInfo", 3020, cuMemGetInfo_v2);

API cuMemAlloc_v2(CUdeviceptr *into, size_t size) { return allocate(into, size, MEMORY_DEVICE); }
OFFER("cuMemAlloc", 3020, cuMemAlloc_v2);

API cuMemAllocPitch_v2(CUdeviceptr *into, size_t *pitch, size_t width, size_t height, unsigned element) {
  NEED(pitch && width && height && element <= 16, CUDA_ERROR_INVALID_VALUE);
  *pitch = (width + 511) / 512 * 512;
  return allocate(into, *pitch * height, MEMORY_DEVICE);
}
OFFER("cuMemAllocPitch", 3020, cuMemAllocPitch_v2);

API cuMemAllocManaged(CUdeviceptr *into, size_t size, unsigned flags) {
  NEED(flags == 1 || flags == 2 || flags == 4, CUDA_ERROR_INVALID_VALUE);
  return allocate(into, size, MEMORY_MANAGED);
}
OFFER("cuMemAllocManaged", 6000, cuMemAllocManaged);

API cuMemFree_v2(CUdeviceptr at) {
  CURRENT(context);
  return at ? release(at, 1u << MEMORY_DEVICE | 1u << MEMORY_MANAGED, CUDA_ERROR_INVALID_VALUE) : CUDA_SUCCESS;
}
OFFER("cuMemFree", 3020, cuMemFree_v2);

API cuMemFreeAsync(CUdeviceptr at, CUstream stream) {
  TRY(stream_check(stream));
  return at ? release(at, 1u << MEMORY_DEVICE, CUDA_ERROR_INVALID_VALUE) : CUDA_SUCCESS;
}
OFFER("cuMemFreeAsync", 11020, cuMemFreeAsync);

API cuMemHostAlloc(void **into, size_t size, unsigned flags) {
  NEED(flags < 8, CUDA_ERROR_INVALID_VALUE);
  return allocate((CUdeviceptr *)into, size, MEMORY_HOST);
}
OFFER("cuMemHostAlloc", 2020, cuMemHostAlloc);

API cuMemAllocHost_v2(void **into, size_t size) { return allocate((CUdeviceptr *)into, size, MEMORY_HOST); }
OFFER("cuMemAllocHost", 3020, cuMemAllocHost_v2);

API cuMemFreeHost(void *at) {
  CURRENT(context);
  return release((CUdeviceptr)at, 1u << MEMORY_HOST, CUDA_ERROR_INVALID_VALUE);
}
OFFER("cuMemFreeHost", 2000, cuMemFreeHost);

API cuMemHostRegister_v2(void *at, size_t size, unsigned flags) {
  CURRENT(context);
  NEED(at && size && flags < 16, CUDA_ERROR_INVALID_VALUE);
  NEED(!memory_at((CUdeviceptr)at, 1), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  struct memory *memory = calloc(1, sizeof *memory);
  NEED(memory, CUDA_ERROR_OUT_OF_MEMORY);
  *memory = (struct memory){NULL, (CUdeviceptr)at, size, MEMORY_REGISTERED, context->device, context, NULL};
  keep(memory);
  return CUDA_SUCCESS;
}
OFFER("cuMemHostRegister", 6050, cuMemHostRegister_v2);

API cuMemHostUnregister(void *at) {
  CURRENT(context);
  return release((CUdeviceptr)at, 1u << MEMORY_REGISTERED, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}
OFFER("cuMemHostUnregister", 4000, cuMemHostUnregister);

API cuMemHostGetDevicePointer_v2(CUdeviceptr *into, void *host, unsigned flags) {
  CURRENT(context);
  NEED(into && !flags && memory_at((CUdeviceptr)host, 1), CUDA_ERROR_INVALID_VALUE);
  *into = (CUdeviceptr)host;
  return CUDA_SUCCESS;
}
OFFER("cuMemHostGetDevicePointer", 3020, cuMemHostGetDevicePointer_v2);

API cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr at) {
  CURRENT(context);
  const struct memory *memory = memory_at(at, 1);
  NEED(memory, CUDA_ERROR_NOT_FOUND);
  if (base) *base = memory->at;
  if (size) *size = memory->size;
  return CUDA_SUCCESS;
}
OFFER("cuMemGetAddressRange", 3020, cuMemGetAddressRange_v2);

API cuMemHostGetFlags(unsigned *flags, void *host) {
  CURRENT(context);
  NEED(flags && memory_at((CUdeviceptr)host, 1), CUDA_ERROR_INVALID_VALUE);
  *flags = 2; /* mapped into the devices' address space, as all of it is */
  return CUDA_SUCCESS;
}
OFFER("cuMemHostGetFlags", 2030, cuMemHostGetFlags);

/* CUpointer_attribute: 1 context, 2 memory type, 3 device pointer, 4 host pointer, 7 buffer id, 8 managed, 9 ordinal,
 * 11 start, 12 size. */
API cuPointerGetAttribute(void *into, int attribute, CUdeviceptr at) {
  TRY(driver_ready());
  const struct memory *memory = memory_at(at, 1);
  NEED(into && memory, CUDA_ERROR_INVALID_VALUE);
  bool device = memory->kind == MEMORY_DEVICE || memory->kind == MEMORY_MANAGED;
  switch (attribute) {
    case 1: *(CUcontext *)into = memory->context; break;
    case 2: *(unsigned *)into = device ? 2 : 1; break;
    case 3: *(CUdeviceptr *)into = at; break;
    case 4: NEED(memory->kind != MEMORY_DEVICE, CUDA_ERROR_INVALID_VALUE); *(CUdeviceptr *)into = at; break;
    case 7: *(uint64_t *)into = memory->at; break;
    case 8: *(unsigned *)into = memory->kind == MEMORY_MANAGED; break;
    case 9: *(int *)into = memory->device; break;
    case 11: *(CUdeviceptr *)into = memory->at; break;
    case 12: *(size_t *)into = memory->size; break;
    default: return CUDA_ERROR_NOT_SUPPORTED;
  }
  return CUDA_SUCCESS;
}
OFFER("cuPointerGetAttribute", 4000, cuPointerGetAttribute);
