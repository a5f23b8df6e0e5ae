/* Pieces of work: kernels, copies, fills, host functions. A stream runs one at once; during a capture it goes into a
 * graph, which runs it at every launch. Addresses are checked when the work runs, as on a GPU. */
#include <string.h>

#include "cuda_standin.h"

static bool reaches(const struct side *side, const struct extent *extent) {
  size_t rows = extent->height ? extent->height : 1, slices = extent->depth ? extent->depth : 1;
  size_t last = (slices - 1) * side->slice + (rows - 1) * side->pitch;
  if (!extent->width) return true;
  return side->at && (!side->on_device || memory_at((CUdeviceptr)side->at, last + extent->width));
}

static CUresult do_copy(const struct copy *copy) {
  NEED(reaches(&copy->to, &copy->extent) && reaches(&copy->from, &copy->extent), CUDA_ERROR_INVALID_VALUE);
  for (size_t z = 0; z < copy->extent.depth; z++)
    for (size_t y = 0; y < copy->extent.height; y++)
      memmove(copy->to.at + z * copy->to.slice + y * copy->to.pitch,
              copy->from.at + z * copy->from.slice + y * copy->from.pitch, copy->extent.width);
  return CUDA_SUCCESS;
}

static CUresult do_fill(const struct fill *fill) {
  struct side to = {(char *)fill->at, fill->pitch, 0, true};
  NEED(fill->width <= SIZE_MAX / fill->element && fill->at % fill->element == 0, CUDA_ERROR_INVALID_VALUE);
  NEED(reaches(&to, &(struct extent){fill->width * fill->element, fill->height, 1}), CUDA_ERROR_INVALID_VALUE);
  for (size_t y = 0; y < fill->height; y++)
    for (size_t x = 0; x < fill->width; x++)
      memcpy((char *)fill->at + y * fill->pitch + x * fill->element, &fill->value, fill->element);
  return CUDA_SUCCESS;
}

CUresult work_do(const struct work *work) {
  CURRENT(context);
  switch (work->kind) {
    case WORK_KERNEL: return kernel_run(context, &work->launch);
    case WORK_COPY: return do_copy(&work->copy);
    case WORK_FILL: return do_fill(&work->fill);
    case WORK_HOST: work->host.function(work->host.data); return CUDA_SUCCESS;
    case WORK_EMPTY: return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
