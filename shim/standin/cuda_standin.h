/* The stand-in CUDA driver: enough of the driver API to allocate, copy, launch and synchronise without a GPU.
 *
 * Device memory is host memory, work is done before the call returns, kernels are a few functions of ours
 * (cuda_kernel.c). Everything happens for real: bytes move, wrong use gets the driver's own codes. It passes no vendor's
 * validity check: cuGetExportTable has no table, so the CUDA runtime library refuses it, as it should.
 */
#ifndef OFFBUS_CUDA_STANDIN_H
#define OFFBUS_CUDA_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet.h"
#include "lock.h"

typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct context *CUcontext;
typedef struct stream *CUstream;
typedef struct event *CUevent;
typedef struct module *CUmodule;
typedef const struct kernel *CUfunction;
typedef struct pool *CUpool;
typedef struct graph *CUgraph;
typedef struct node *CUnode;
typedef struct graph_exec *CUexec;

typedef enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_PEER_ACCESS_UNSUPPORTED = 217,
  CUDA_ERROR_FILE_NOT_FOUND = 301,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
  CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713,
  CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED = 704,
  CUDA_ERROR_PEER_ACCESS_NOT_ENABLED = 705,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_UNMATCHED = 903,
} CUresult;

enum { STANDIN_DRIVER_VERSION = 12080 };

#define API __attribute__((visibility("default"))) CUresult

/* What cuGetProcAddress offers: `base` is `function` for programs built against version `since` or later. The linker
 * puts them side by side as one array, which is why their alignment is set. */
struct offer {
  const char *base;
  int since;
  void *function;
};
#define OFFER_AS(tag, base, since, function)                                                                      \
  static struct offer offer_##tag __attribute__((section("offers"), used, aligned(8))) = {base, since, (void *)function}
#define OFFER(base, since, function) OFFER_AS(function, base, since, function)

/* Objects behind handles; a handle is valid while its object is in the registry. */
enum kind { CONTEXT, STREAM, EVENT, MODULE, LIBRARY, POOL, GRAPH, GRAPH_EXEC, NODE };
struct object {
  enum kind kind;
  struct object *next;
};
void object_add(struct object *object, enum kind kind);
bool object_is(const void *handle, enum kind kind);
bool object_remove(void *handle, enum kind kind); /* the caller frees it */
void object_each(void (*see)(struct object *, void *), void *data); /* under the driver's lock */

struct context {
  struct object object;
  CUdevice device;
  unsigned flags;
  bool primary;
  uint64_t id;
  CUresult broken; /* once a kernel failed, every call in this context returns its error */
};

struct stream {
  struct object object;
  CUcontext context;
  unsigned flags;
  int priority;
  CUgraph capture; /* the graph that its work goes into; null = none */
};

/* The lock (lock.h) guards all of the driver's state; kernels and copies run outside it. */

/* 3 before cuInit, and in a child forked after it. */
CUresult driver_ready(void);
unsigned driver_device_count(void);
const struct fleet_gpu *driver_device(CUdevice device); /* null = no such device */
CUresult driver_start(void);

/* Each thread's stack of contexts, null when it is empty. A destroyed one stays in it. */
CUcontext context_top(void);
CUcontext context_pop(void);
CUresult context_push(CUcontext context);

/* The thread's context: 3, 201, 709, or what broke it. */
CUresult context_current(CUcontext *context);
CUresult stream_check(CUstream stream);

/* Memory. `memory_at` finds the allocation that holds [at, at + size). */
enum memory_kind { MEMORY_HOST = 1, MEMORY_DEVICE = 2, MEMORY_MANAGED = 3, MEMORY_REGISTERED = 4 };
struct memory {
  struct memory *next;
  CUdeviceptr at;
  size_t size;
  enum memory_kind kind;
  CUdevice device;
  CUcontext context;
  CUpool pool; /* null = none */
};
CUresult memory_allocate(CUdeviceptr *into, size_t size, enum memory_kind kind, CUdevice device, CUpool pool);
const struct memory *memory_at(CUdeviceptr at, size_t size);
void memory_drop_context(CUcontext context);
uint64_t memory_used(CUdevice device);
uint64_t memory_used_of(CUpool pool);

/* Kernels. */
const struct kernel *kernel_named(const char *name);
const char *kernel_name(CUfunction function);
bool kernel_valid(CUfunction function);
CUresult image_check(const char *image);
CUresult image_function(CUfunction *into, const char *text, const char *name);

/* Work: done at once, or at every launch of the graph that it was put into. */
enum { PARAMETERS_MAX = 4 };
struct launch {
  CUfunction function;
  uint64_t threads;
  uint64_t parameters[PARAMETERS_MAX]; /* each in its first bytes */
};
struct side {
  char *at;
  size_t pitch, slice; /* bytes from row to row, from layer to layer */
  bool on_device;      /* must lie in an allocation */
};
struct extent {
  size_t width, height, depth;
};
struct copy {
  struct side to, from;
  struct extent extent;
};
struct fill {
  CUdeviceptr at;
  size_t pitch;
  unsigned value, element;
  size_t width, height;
};
struct host_call {
  void (*function)(void *);
  void *data;
};
struct work {
  enum { WORK_EMPTY, WORK_KERNEL, WORK_COPY, WORK_FILL, WORK_HOST } kind;
  union {
    struct launch launch;
    struct copy copy;
    struct fill fill;
    struct host_call host;
  };
};
CUresult kernel_prepare(struct launch *into, CUfunction function, uint64_t threads, void **parameters, void **extra);
CUresult kernel_run(CUcontext context, const struct launch *launch);
CUresult launch_prepare(struct launch *into, CUfunction function, const unsigned *size, void **parameters,
                        void **extra);
struct copy_3d;
CUresult copy_from_3d(struct copy *into, const struct copy_3d *of);
CUresult work_do(const struct work *work);
CUresult stream_submit(CUstream stream, const struct work *work);
CUresult graph_create(CUgraph *into);
CUresult graph_append(CUgraph graph, const struct work *work);

#define TRY(call)                        \
  do {                                   \
    CUresult result_ = (call);           \
    if (result_ != CUDA_SUCCESS) return result_; \
  } while (0)
#define NEED(condition, code)      \
  do {                             \
    if (!(condition)) return code; \
  } while (0)
#define CURRENT(context) \
  CUcontext context;     \
  TRY(context_current(&context))

#endif
