/* The driver functions that the test programs use, under the names and types of cuda.h and nvml.h. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FUNCTIONS(F)                                                                                                  \
  F(cuInit, (unsigned))                                                                                               \
  F(cuDriverGetVersion, (int *))                                                                                      \
  F(cuDeviceGetCount, (int *))                                                                                        \
  F(cuDevicePrimaryCtxRetain, (void **, int))                                                                         \
  F(cuCtxSetCurrent, (void *))                                                                                        \
  F(cuCtxSynchronize, (void))                                                                                         \
  F(cuMemAlloc_v2, (uint64_t *, size_t))                                                                              \
  F(cuMemFree_v2, (uint64_t))                                                                                         \
  F(cuMemGetInfo_v2, (size_t *, size_t *))                                                                            \
  F(cuMemcpyHtoD_v2, (uint64_t, const void *, size_t))                                                                \
  F(cuMemcpyDtoH_v2, (void *, uint64_t, size_t))                                                                      \
  F(cuModuleLoadData, (void **, const void *))                                                                        \
  F(cuModuleGetFunction, (void **, void *, const char *))                                                             \
  F(cuLaunchKernel,                                                                                                   \
    (void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **))
