/* Libraries: modules that belong to no context. A CUkernel is its CUfunction. */
#include <stdlib.h>
#include <string.h>

#include "cuda_standin.h"

struct library {
  struct object object;
  char *text;
};
typedef struct library *CUlibrary;

static CUresult check(CUlibrary library) {
  TRY(driver_ready());
  return object_is(library, LIBRARY) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

API cuLibraryLoadData(CUlibrary *into, const void *image, int *jit, void **jit_values, unsigned n_jit, int *options,
                      void **values, unsigned n) {
  TRY(driver_ready());
  NEED(into && image && (!n_jit || (jit && jit_values)) && (!n || options), CUDA_ERROR_INVALID_VALUE);
  (void)values; /* some options are flags without one */
  TRY(image_check(image));
  CUlibrary library = calloc(1, sizeof *library);
  if (library) library->text = strdup(image);
  if (!library || !library->text) {
    free(library);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  object_add(&library->object, LIBRARY);
  *into = library;
  return CUDA_SUCCESS;
}
OFFER("cuLibraryLoadData", 12000, cuLibraryLoadData);

API cuLibraryUnload(CUlibrary library) {
  TRY(check(library));
  object_remove(library, LIBRARY);
  free(library->text);
  free(library);
  return CUDA_SUCCESS;
}
OFFER("cuLibraryUnload", 12000, cuLibraryUnload);

API cuLibraryGetKernel(CUfunction *into, CUlibrary library, const char *name) {
  TRY(check(library));
  NEED(into && name && *name, CUDA_ERROR_INVALID_VALUE);
  return image_function(into, library->text, name);
}
OFFER("cuLibraryGetKernel", 12000, cuLibraryGetKernel);

API cuKernelGetFunction(CUfunction *into, CUfunction kernel) {
  CURRENT(context);
  NEED(into && kernel_valid(kernel), CUDA_ERROR_INVALID_VALUE);
  *into = kernel;
  return CUDA_SUCCESS;
}
OFFER("cuKernelGetFunction", 12000, cuKernelGetFunction);

API cuKernelGetName(const char **name, CUfunction kernel) {
  NEED(name && kernel_valid(kernel), CUDA_ERROR_INVALID_VALUE);
  *name = kernel_name(kernel);
  return CUDA_SUCCESS;
}
OFFER("cuKernelGetName", 12030, cuKernelGetName);

/* CUfunction_attribute: 0 most threads of a block, 1 shared, 2 constant, 3 local bytes, 4 registers, 5 PTX, 6 binary
 * version … */
API cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
  static const int values[] = {1024, 0, 0, 0, 16, 90, 90, 0, 49152, -1};
  NEED(value && kernel_valid(function), CUDA_ERROR_INVALID_HANDLE);
  NEED(attribute >= 0 && attribute < 16, CUDA_ERROR_INVALID_VALUE);
  *value = (size_t)attribute < sizeof values / sizeof *values ? values[attribute] : 0;
  return CUDA_SUCCESS;
}
OFFER("cuFuncGetAttribute", 2020, cuFuncGetAttribute);

API cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  NEED(kernel_valid(function), CUDA_ERROR_INVALID_HANDLE);
  NEED(attribute == 8 || attribute == 9, CUDA_ERROR_INVALID_VALUE); /* dynamic shared memory, its preferred share */
  NEED(value >= -1 && value <= 232448, CUDA_ERROR_INVALID_VALUE);
  return CUDA_SUCCESS;
}
OFFER("cuFuncSetAttribute", 9000, cuFuncSetAttribute);

API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int size, size_t shared) {
  CURRENT(context);
  NEED(blocks && kernel_valid(function) && size > 0 && size <= 1024, CUDA_ERROR_INVALID_VALUE);
  int by_threads = 2048 / size, by_shared = shared ? (int)(233472 / shared) : 32;
  *blocks = by_threads < by_shared ? by_threads : by_shared;
  if (*blocks > 32) *blocks = 32;
  return CUDA_SUCCESS;
}
OFFER("cuOccupancyMaxActiveBlocksPerMultiprocessor", 6050, cuOccupancyMaxActiveBlocksPerMultiprocessor);
