/* Copies and fills: bytes really move. A device pointer outside every allocation is an invalid value. */
#include <string.h>

#include "cuda_standin.h"

static CUresult copy(void *to, const void *from, size_t size, bool to_device, bool from_device) {
  CURRENT(context);
  NEED(!to_device || memory_at((CUdeviceptr)to, size), CUDA_ERROR_INVALID_VALUE);
  NEED(!from_device || memory_at((CUdeviceptr)from, size), CUDA_ERROR_INVALID_VALUE);
  NEED(!size || (to && from), CUDA_ERROR_INVALID_VALUE);
  memmove(to, from, size);
  return CUDA_SUCCESS;
}

API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) { return copy((void *)to, from, size, true, false); }
OFFER("cuMemcpyHtoD", 3020, cuMemcpyHtoD_v2);

API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) { return copy(to, (void *)from, size, false, true); }
OFFER("cuMemcpyDtoH", 3020, cuMemcpyDtoH_v2);

API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t size) {
  return copy((void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyDtoD", 3020, cuMemcpyDtoD_v2);

/* Unified: either side may be memory of a device or of the host. */
API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t size) {
  return copy((void *)to, (void *)from, size, false, false);
}
OFFER("cuMemcpy", 4000, cuMemcpy);

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
  TRY(stream_check(stream));
  return copy((void *)to, from, size, true, false);
}
OFFER("cuMemcpyHtoDAsync", 3020, cuMemcpyHtoDAsync_v2);

API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream) {
  TRY(stream_check(stream));
  return copy(to, (void *)from, size, false, true);
}
OFFER("cuMemcpyDtoHAsync", 3020, cuMemcpyDtoHAsync_v2);

API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  TRY(stream_check(stream));
  return copy((void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyDtoDAsync", 3020, cuMemcpyDtoDAsync_v2);

API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  TRY(stream_check(stream));
  return copy((void *)to, (void *)from, size, false, false);
}
OFFER("cuMemcpyAsync", 4000, cuMemcpyAsync);

API cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size) {
  NEED(object_is(to_context, CONTEXT) && object_is(from_context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return copy((void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyPeer", 4000, cuMemcpyPeer);

API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size,
                      CUstream stream) {
  TRY(stream_check(stream));
  NEED(object_is(to_context, CONTEXT) && object_is(from_context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return copy((void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyPeerAsync", 4000, cuMemcpyPeerAsync);

static CUresult fill(CUdeviceptr at, const void *value, size_t width, size_t n) {
  CURRENT(context);
  NEED(at % width == 0 && n <= SIZE_MAX / width && memory_at(at, n * width), CUDA_ERROR_INVALID_VALUE);
  for (size_t i = 0; i < n; i++) memcpy((char *)at + i * width, value, width);
  return CUDA_SUCCESS;
}

API cuMemsetD8_v2(CUdeviceptr at, unsigned char value, size_t n) { return fill(at, &value, sizeof value, n); }
OFFER("cuMemsetD8", 3020, cuMemsetD8_v2);

API cuMemsetD16_v2(CUdeviceptr at, unsigned short value, size_t n) { return fill(at, &value, sizeof value, n); }
OFFER("cuMemsetD16", 3020, cuMemsetD16_v2);

API cuMemsetD32_v2(CUdeviceptr at, unsigned value, size_t n) { return fill(at, &value, sizeof value, n); }
OFFER("cuMemsetD32", 3020, cuMemsetD32_v2);

API cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t n, CUstream stream) {
  TRY(stream_check(stream));
  return fill(at, &value, sizeof value, n);
}
OFFER("cuMemsetD8Async", 3020, cuMemsetD8Async);

API cuMemsetD16Async(CUdeviceptr at, unsigned short value, size_t n, CUstream stream) {
  TRY(stream_check(stream));
  return fill(at, &value, sizeof value, n);
}
OFFER("cuMemsetD16Async", 3020, cuMemsetD16Async);

API cuMemsetD32Async(CUdeviceptr at, unsigned value, size_t n, CUstream stream) {
  TRY(stream_check(stream));
  return fill(at, &value, sizeof value, n);
}
OFFER("cuMemsetD32Async", 3020, cuMemsetD32Async);
