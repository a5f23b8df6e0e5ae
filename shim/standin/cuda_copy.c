/* Copies and fills: bytes really move. A device pointer outside every allocation is an invalid value. */
#include "cuda_standin.h"

static struct work linear(void *to, const void *from, size_t size, bool to_device, bool from_device) {
  struct copy copy = {{to, 0, 0, to_device}, {(char *)from, 0, 0, from_device}, {size, 1, 1}};
  return (struct work){.kind = WORK_COPY, .copy = copy};
}

static CUresult copy(void *to, const void *from, size_t size, bool to_device, bool from_device) {
  struct work work = linear(to, from, size, to_device, from_device);
  return work_do(&work);
}

static CUresult copy_on(CUstream stream, void *to, const void *from, size_t size, bool to_device, bool from_device) {
  struct work work = linear(to, from, size, to_device, from_device);
  TRY(stream_check(stream));
  return stream_submit(stream, &work);
}

/* CUDA_MEMCPY3D. Memory types: 1 host, 2 device, 3 array (not supported here), 4 unified. */
struct copy_3d_side {
  size_t x, y, z, level;
  int type;
  void *host;
  CUdeviceptr device;
  void *array, *reserved;
  size_t pitch, height;
};
struct copy_3d {
  struct copy_3d_side from, to;
  size_t width, height, depth;
};
/* CUDA_MEMCPY2D */
struct copy_2d_side {
  size_t x, y;
  int type;
  void *host;
  CUdeviceptr device;
  void *array;
  size_t pitch;
};
struct copy_2d {
  struct copy_2d_side from, to;
  size_t width, height;
};

static CUresult side_from_3d(struct side *into, const struct copy_3d_side *of) {
  NEED(of->type == 1 || of->type == 2 || of->type == 4, CUDA_ERROR_NOT_SUPPORTED);
  char *base = of->type == 1 ? of->host : (char *)of->device;
  NEED(base, CUDA_ERROR_INVALID_VALUE);
  size_t slice = of->pitch * of->height;
  *into = (struct side){base + of->z * slice + of->y * of->pitch + of->x, of->pitch, slice, of->type == 2};
  return CUDA_SUCCESS;
}

CUresult copy_from_3d(struct copy *into, const struct copy_3d *of) {
  NEED(of, CUDA_ERROR_INVALID_VALUE);
  TRY(side_from_3d(&into->from, &of->from));
  TRY(side_from_3d(&into->to, &of->to));
  into->extent = (struct extent){of->width, of->height, of->depth};
  return CUDA_SUCCESS;
}

static struct copy_3d_side deepen(const struct copy_2d_side *of) {
  return (struct copy_3d_side){of->x, of->y, 0, 0, of->type, of->host, of->device, NULL, NULL, of->pitch, 0};
}

static CUresult copy_2d(const struct copy_2d *of, CUstream stream) {
  NEED(of, CUDA_ERROR_INVALID_VALUE);
  struct copy_3d deep = {deepen(&of->from), deepen(&of->to), of->width, of->height, 1};
  struct work work = {.kind = WORK_COPY};
  TRY(stream_check(stream));
  TRY(copy_from_3d(&work.copy, &deep));
  return stream_submit(stream, &work);
}

API cuMemcpy2D_v2(const struct copy_2d *of) { return copy_2d(of, NULL); }
OFFER("cuMemcpy2D", 3020, cuMemcpy2D_v2);

API cuMemcpy2DUnaligned_v2(const struct copy_2d *of) {
  TRY(copy_2d(of, NULL));
  return CUDA_SUCCESS;
}
OFFER("cuMemcpy2DUnaligned", 3020, cuMemcpy2DUnaligned_v2);

API cuMemcpy2DAsync_v2(const struct copy_2d *of, CUstream stream) { return copy_2d(of, stream); }
OFFER("cuMemcpy2DAsync", 3020, cuMemcpy2DAsync_v2);

API cuMemcpy3DAsync_v2(const struct copy_3d *of, CUstream stream) {
  struct work work = {.kind = WORK_COPY};
  TRY(stream_check(stream));
  TRY(copy_from_3d(&work.copy, of));
  return stream_submit(stream, &work);
}
OFFER("cuMemcpy3DAsync", 3020, cuMemcpy3DAsync_v2);

API cuMemcpy3D_v2(const struct copy_3d *of) { return cuMemcpy3DAsync_v2(of, NULL); }
OFFER("cuMemcpy3D", 3020, cuMemcpy3D_v2);

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
  return copy_on(stream, (void *)to, from, size, true, false);
}
OFFER("cuMemcpyHtoDAsync", 3020, cuMemcpyHtoDAsync_v2);

API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, CUstream stream) {
  return copy_on(stream, to, (void *)from, size, false, true);
}
OFFER("cuMemcpyDtoHAsync", 3020, cuMemcpyDtoHAsync_v2);

API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  return copy_on(stream, (void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyDtoDAsync", 3020, cuMemcpyDtoDAsync_v2);

API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  return copy_on(stream, (void *)to, (void *)from, size, false, false);
}
OFFER("cuMemcpyAsync", 4000, cuMemcpyAsync);

API cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size) {
  NEED(object_is(to_context, CONTEXT) && object_is(from_context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return copy((void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyPeer", 4000, cuMemcpyPeer);

API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t size,
                      CUstream stream) {
  NEED(object_is(to_context, CONTEXT) && object_is(from_context, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return copy_on(stream, (void *)to, (void *)from, size, true, true);
}
OFFER("cuMemcpyPeerAsync", 4000, cuMemcpyPeerAsync);

static CUresult fill(CUdeviceptr at, unsigned value, unsigned element, size_t n, CUstream stream) {
  struct work work = {.kind = WORK_FILL, .fill = {at, 0, value, element, n, 1}};
  TRY(stream_check(stream));
  return stream_submit(stream, &work);
}

API cuMemsetD8_v2(CUdeviceptr at, unsigned char value, size_t n) { return fill(at, value, 1, n, NULL); }
OFFER("cuMemsetD8", 3020, cuMemsetD8_v2);

API cuMemsetD16_v2(CUdeviceptr at, unsigned short value, size_t n) { return fill(at, value, 2, n, NULL); }
OFFER("cuMemsetD16", 3020, cuMemsetD16_v2);

API cuMemsetD32_v2(CUdeviceptr at, unsigned value, size_t n) { return fill(at, value, 4, n, NULL); }
OFFER("cuMemsetD32", 3020, cuMemsetD32_v2);

API cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t n, CUstream stream) {
  return fill(at, value, 1, n, stream);
}
OFFER("cuMemsetD8Async", 3020, cuMemsetD8Async);

API cuMemsetD16Async(CUdeviceptr at, unsigned short value, size_t n, CUstream stream) {
  return fill(at, value, 2, n, stream);
}
OFFER("cuMemsetD16Async", 3020, cuMemsetD16Async);

API cuMemsetD32Async(CUdeviceptr at, unsigned value, size_t n, CUstream stream) {
  return fill(at, value, 4, n, stream);
}
OFFER("cuMemsetD32Async", 3020, cuMemsetD32Async);
