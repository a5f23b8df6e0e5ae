/* The base of all other files: start, devices, the registry of handles, each thread's current context, and whether a
 * stream may be used. */
#include <unistd.h>

#include "cuda_standin.h"

static struct object *objects;
static struct fleet_gpu gpus[FLEET_MAX];
static unsigned count;
static pid_t started_by;
static uint64_t last_context_id;

enum { DEPTH = 32 };

static __thread CUcontext stack[DEPTH];
static __thread int depth;

CUresult driver_start(void) {
  CUresult result = CUDA_SUCCESS;
  driver_lock();
  if (started_by && started_by != getpid()) {
    result = CUDA_ERROR_NOT_INITIALIZED; /* CUDA does not survive a fork */
  } else if (!started_by) {
    count = fleet_narrow_for_cuda(gpus, fleet_read(gpus));
    if (count) started_by = getpid();
    else result = CUDA_ERROR_NO_DEVICE;
  }
  driver_unlock();
  return result;
}

CUresult driver_ready(void) { return started_by == getpid() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED; }

unsigned driver_device_count(void) { return count; }

const struct fleet_gpu *driver_device(CUdevice device) {
  return device >= 0 && (unsigned)device < count ? &gpus[device] : NULL;
}

void object_add(struct object *object, enum kind kind) {
  driver_lock();
  object->kind = kind;
  object->next = objects;
  objects = object;
  if (kind == CONTEXT) ((struct context *)object)->id = ++last_context_id;
  driver_unlock();
}

bool object_is(const void *handle, enum kind kind) {
  bool found = false;
  driver_lock();
  for (const struct object *o = objects; o && !found; o = o->next) found = o == handle && o->kind == kind;
  driver_unlock();
  return found;
}

bool object_remove(void *handle, enum kind kind) {
  bool found = false;
  driver_lock();
  for (struct object **o = &objects; *o && !found; o = found ? o : &(*o)->next)
    if (*o == handle && (*o)->kind == kind) {
      *o = (*o)->next;
      found = true;
    }
  driver_unlock();
  return found;
}

void object_each(void (*see)(struct object *, void *), void *data) {
  driver_lock();
  for (struct object *o = objects; o; o = o->next) see(o, data);
  driver_unlock();
}

CUcontext context_top(void) { return depth ? stack[depth - 1] : NULL; }

CUcontext context_pop(void) { return depth ? stack[--depth] : NULL; }

CUresult context_push(CUcontext context) {
  NEED(depth < DEPTH, CUDA_ERROR_INVALID_VALUE);
  stack[depth++] = context;
  return CUDA_SUCCESS;
}

CUresult context_current(CUcontext *context) {
  TRY(driver_ready());
  CUcontext top = context_top();
  NEED(top, CUDA_ERROR_INVALID_CONTEXT);
  NEED(object_is(top, CONTEXT), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  *context = top;
  return top->broken;
}

/* Null, legacy (1) and per-thread (2) are streams of the current context; any other must exist. */
CUresult stream_check(CUstream stream) {
  CURRENT(context);
  if ((uintptr_t)stream <= 2) return CUDA_SUCCESS;
  NEED(object_is(stream, STREAM), CUDA_ERROR_INVALID_HANDLE);
  return object_is(stream->context, CONTEXT) ? stream->context->broken : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}
