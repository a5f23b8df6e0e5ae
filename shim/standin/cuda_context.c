/* Contexts: created ones and a primary one per device. */
#include <stdlib.h>

#include "cuda_standin.h"

static struct {
  CUcontext context;
  unsigned retained, flags;
} primary[FLEET_MAX];

static CUresult make(CUcontext *into, CUdevice device, unsigned flags, bool is_primary) {
  CUcontext context = calloc(1, sizeof *context);
  NEED(context, CUDA_ERROR_OUT_OF_MEMORY);
  context->device = device;
  context->flags = flags;
  context->primary = is_primary;
  object_add(&context->object, CONTEXT);
  *into = context;
  return CUDA_SUCCESS;
}

/* A destroyed context stays on other threads' stacks; its handle is then no longer registered. It is not freed, so
 * that a stale handle can never be mistaken for a new context. */
static CUresult destroy(CUcontext context) {
  NEED(object_remove(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  memory_drop_context(context);
  if (context_top() == context) context_pop();
  return CUDA_SUCCESS;
}

static CUresult create(CUcontext *into, unsigned flags, CUdevice device) {
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  TRY(make(into, device, flags, false));
  return context_push(*into);
}

API cuCtxCreate_v2(CUcontext *into, unsigned flags, CUdevice device) { return create(into, flags, device); }
OFFER("cuCtxCreate", 3020, cuCtxCreate_v2);

API cuCtxCreate_v3(CUcontext *into, void *affinity, int n, unsigned flags, CUdevice device) {
  NEED(!affinity && !n, CUDA_ERROR_NOT_SUPPORTED);
  return create(into, flags, device);
}
OFFER("cuCtxCreate", 11040, cuCtxCreate_v3);

API cuCtxCreate_v4(CUcontext *into, void *parameters, unsigned flags, CUdevice device) {
  NEED(!parameters, CUDA_ERROR_NOT_SUPPORTED);
  return create(into, flags, device);
}
OFFER("cuCtxCreate", 12050, cuCtxCreate_v4);

API cuCtxDestroy_v2(CUcontext context) {
  TRY(driver_ready());
  NEED(object_is(context, CONTEXT) && !context->primary, CUDA_ERROR_INVALID_CONTEXT);
  return destroy(context);
}
OFFER("cuCtxDestroy", 4000, cuCtxDestroy_v2);

API cuCtxGetCurrent(CUcontext *into) {
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  *into = context_top();
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetCurrent", 4000, cuCtxGetCurrent);

API cuCtxSetCurrent(CUcontext context) {
  TRY(driver_ready());
  NEED(!context || object_is(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  context_pop();
  return context ? context_push(context) : CUDA_SUCCESS;
}
OFFER("cuCtxSetCurrent", 4000, cuCtxSetCurrent);

API cuCtxPushCurrent_v2(CUcontext context) {
  TRY(driver_ready());
  NEED(object_is(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return context_push(context);
}
OFFER("cuCtxPushCurrent", 4000, cuCtxPushCurrent_v2);

API cuCtxPopCurrent_v2(CUcontext *into) {
  TRY(driver_ready());
  CUcontext popped = context_pop();
  NEED(popped, CUDA_ERROR_INVALID_CONTEXT);
  if (into) *into = popped;
  return CUDA_SUCCESS;
}
OFFER("cuCtxPopCurrent", 4000, cuCtxPopCurrent_v2);

API cuCtxGetDevice(CUdevice *device) {
  NEED(device, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  CUcontext top = context_top();
  NEED(top && object_is(top, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  *device = top->device;
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetDevice", 2000, cuCtxGetDevice);

API cuCtxGetFlags(unsigned *flags) {
  NEED(flags, CUDA_ERROR_INVALID_VALUE);
  CURRENT(context);
  *flags = context->flags;
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetFlags", 7000, cuCtxGetFlags);

API cuCtxGetId(CUcontext context, unsigned long long *id) {
  NEED(id, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  if (!context) TRY(context_current(&context));
  NEED(object_is(context, CONTEXT), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  *id = context->id;
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetId", 12000, cuCtxGetId);

API cuCtxGetApiVersion(CUcontext context, unsigned *version) {
  NEED(version, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  NEED(!context || object_is(context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  *version = 3020;
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetApiVersion", 3020, cuCtxGetApiVersion);

API cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  CURRENT(context);
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetStreamPriorityRange", 5050, cuCtxGetStreamPriorityRange);

API cuCtxSynchronize(void) {
  CURRENT(context);
  return CUDA_SUCCESS;
}
OFFER("cuCtxSynchronize", 2000, cuCtxSynchronize);

API cuDevicePrimaryCtxRetain(CUcontext *into, CUdevice device) {
  NEED(into, CUDA_ERROR_INVALID_VALUE);
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  if (!primary[device].retained) TRY(make(&primary[device].context, device, primary[device].flags, true));
  primary[device].retained++;
  *into = primary[device].context;
  return CUDA_SUCCESS;
}
OFFER("cuDevicePrimaryCtxRetain", 7000, cuDevicePrimaryCtxRetain);

API cuDevicePrimaryCtxReset_v2(CUdevice device) {
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  if (!primary[device].retained) return CUDA_SUCCESS;
  primary[device].retained = 0;
  return destroy(primary[device].context);
}
OFFER("cuDevicePrimaryCtxReset", 11000, cuDevicePrimaryCtxReset_v2);

API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  NEED(primary[device].retained, CUDA_ERROR_INVALID_CONTEXT);
  return --primary[device].retained ? CUDA_SUCCESS : destroy(primary[device].context);
}
OFFER("cuDevicePrimaryCtxRelease", 11000, cuDevicePrimaryCtxRelease_v2);

API cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  NEED(flags && active, CUDA_ERROR_INVALID_VALUE);
  *flags = primary[device].flags;
  *active = primary[device].retained > 0;
  return CUDA_SUCCESS;
}
OFFER("cuDevicePrimaryCtxGetState", 7000, cuDevicePrimaryCtxGetState);

API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  TRY(driver_ready());
  NEED(driver_device(device), CUDA_ERROR_INVALID_DEVICE);
  primary[device].flags = flags;
  return CUDA_SUCCESS;
}
OFFER("cuDevicePrimaryCtxSetFlags", 11000, cuDevicePrimaryCtxSetFlags_v2);
