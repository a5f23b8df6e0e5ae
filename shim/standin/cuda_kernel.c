/* The kernels that the stand-in can run, on host memory instead of device memory.
 *
 *   offbus_fill(float *y, float value, uint32_t n)                     y[i] = value
 *   offbus_axpy(float *y, const float *x, float a, uint32_t n)         y[i] += a * x[i]
 *   offbus_add(float *c, const float *a, const float *b, uint32_t n)   c[i] = a[i] + b[i]
 *   offbus_matmul(float *c, const float *a, const float *b, uint32_t n)  n x n, row by row, one thread per element
 *
 * Like a real kernel with the usual bound check, it processes as many elements as it has threads. A pointer that
 * leaves its allocation is an illegal address, which breaks the context for good.
 */
#include <string.h>

#include "cuda_standin.h"

union parameter {
  CUdeviceptr pointer;
  float real;
  uint32_t number;
};

struct kernel {
  const char *name;
  const char *types; /* p = pointer (8 bytes), f = float, u = uint32_t */
  size_t (*reach)(uint32_t n); /* elements behind each pointer */
  void (*run)(const union parameter *p, uint64_t threads);
};

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static size_t vector(uint32_t n) { return n; }
static size_t square(uint32_t n) { return (size_t)n * n; }

static void fill(const union parameter *p, uint64_t threads) {
  float *y = (float *)p[0].pointer;
  for (uint64_t i = 0; i < least(threads, p[2].number); i++) y[i] = p[1].real;
}

static void axpy(const union parameter *p, uint64_t threads) {
  float *y = (float *)p[0].pointer;
  const float *x = (const float *)p[1].pointer;
  for (uint64_t i = 0; i < least(threads, p[3].number); i++) y[i] += p[2].real * x[i];
}

static void add(const union parameter *p, uint64_t threads) {
  float *c = (float *)p[0].pointer;
  const float *a = (const float *)p[1].pointer, *b = (const float *)p[2].pointer;
  for (uint64_t i = 0; i < least(threads, p[3].number); i++) c[i] = a[i] + b[i];
}

static void matmul(const union parameter *p, uint64_t threads) {
  float *c = (float *)p[0].pointer;
  const float *a = (const float *)p[1].pointer, *b = (const float *)p[2].pointer;
  uint64_t n = p[3].number;
  for (uint64_t i = 0; i < least(threads, n * n); i++) {
    float sum = 0;
    for (uint64_t k = 0; k < n; k++) sum += a[i / n * n + k] * b[k * n + i % n];
    c[i] = sum;
  }
}

static const struct kernel kernels[] = {
    {"offbus_fill", "pfu", vector, fill},
    {"offbus_axpy", "ppfu", vector, axpy},
    {"offbus_add", "pppu", vector, add},
    {"offbus_matmul", "pppu", square, matmul},
};

const struct kernel *kernel_named(const char *name) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
  return NULL;
}

const char *kernel_name(CUfunction function) { return function->name; }

bool kernel_valid(CUfunction function) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (function == &kernels[i]) return true;
  return false;
}

static size_t width(char type) { return type == 'p' ? 8 : 4; }

/* `extra`: a list of (1, buffer), (2, size) ended by 0; parameters lie in the buffer in natural alignment. */
static CUresult from_buffer(const char *types, void **extra, union parameter *into) {
  const char *buffer = NULL;
  size_t size = 0, at = 0;
  for (; *extra; extra += 2) {
    if (extra[0] == (void *)1) buffer = extra[1];
    else if (extra[0] == (void *)2) size = *(size_t *)extra[1];
    else return CUDA_ERROR_INVALID_VALUE;
  }
  NEED(buffer, CUDA_ERROR_INVALID_VALUE);
  for (size_t i = 0; types[i]; i++) {
    at = (at + width(types[i]) - 1) / width(types[i]) * width(types[i]);
    NEED(at + width(types[i]) <= size, CUDA_ERROR_INVALID_VALUE);
    memcpy(&into[i], buffer + at, width(types[i]));
    at += width(types[i]);
  }
  return CUDA_SUCCESS;
}

static CUresult read_parameters(const char *types, void **parameters, void **extra, union parameter *into) {
  NEED(!parameters != !extra, CUDA_ERROR_INVALID_VALUE);
  if (extra) return from_buffer(types, extra, into);
  for (size_t i = 0; types[i]; i++) {
    NEED(parameters[i], CUDA_ERROR_INVALID_VALUE);
    memcpy(&into[i], parameters[i], width(types[i]));
  }
  return CUDA_SUCCESS;
}

CUresult kernel_prepare(struct launch *into, CUfunction function, uint64_t threads, void **parameters, void **extra) {
  union parameter p[PARAMETERS_MAX] = {{0}};
  TRY(read_parameters(function->types, parameters, extra, p));
  *into = (struct launch){.function = function, .threads = threads};
  memcpy(into->parameters, p, sizeof p);
  return CUDA_SUCCESS;
}

CUresult kernel_run(CUcontext context, const struct launch *launch) {
  CUfunction function = launch->function;
  union parameter p[PARAMETERS_MAX];
  memcpy(p, launch->parameters, sizeof p);
  size_t last = strlen(function->types) - 1;
  size_t bytes = function->reach(p[last].number) * sizeof(float);
  for (size_t i = 0; i < last; i++)
    if (function->types[i] == 'p' && (p[i].pointer % 4 || !memory_at(p[i].pointer, bytes))) {
      context->broken = CUDA_ERROR_ILLEGAL_ADDRESS; /* the launch itself succeeds, as on a GPU */
      return CUDA_SUCCESS;
    }
  function->run(p, launch->threads);
  return CUDA_SUCCESS;
}
