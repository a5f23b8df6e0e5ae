/* Peer access between contexts, and a context's limits. All memory is the host's, so peers reach each other anyway; the
 * stand-in only tracks whether access was enabled, with the driver's own results for enabling it twice or never. */
#include "cuda_standin.h"

enum { PAIRS = 256, LIMITS = 16 };

static struct {
  CUcontext from, to;
} pairs[PAIRS];
/* CUlimit: stack, printf FIFO, malloc heap, sync depth, pending launches, L2 fetch, persisting L2 */
static size_t limits[LIMITS] = {1024, 1048576, 8388608, 2, 2048, 64, 0};
enum { KNOWN_LIMITS = 7 };

static int find(CUcontext from, CUcontext to) {
  int i = 0;
  while (i < PAIRS && !(pairs[i].from == from && pairs[i].to == to)) i++;
  return i;
}

static CUresult check(CUcontext peer, CUcontext *own) {
  TRY(context_current(own));
  NEED(object_is(peer, CONTEXT), CUDA_ERROR_INVALID_CONTEXT);
  return CUDA_SUCCESS;
}

API cuCtxEnablePeerAccess(CUcontext peer, unsigned flags) {
  CUcontext own;
  TRY(check(peer, &own));
  NEED(!flags, CUDA_ERROR_INVALID_VALUE);
  NEED(peer->device != own->device, CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
  driver_lock();
  bool enabled = find(own, peer) < PAIRS;
  int pair = enabled ? PAIRS : find(NULL, NULL);
  if (pair < PAIRS) pairs[pair].from = own, pairs[pair].to = peer;
  driver_unlock();
  NEED(!enabled, CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  return pair < PAIRS ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
OFFER("cuCtxEnablePeerAccess", 4000, cuCtxEnablePeerAccess);

API cuCtxDisablePeerAccess(CUcontext peer) {
  CUcontext own;
  TRY(check(peer, &own));
  driver_lock();
  int pair = find(own, peer);
  if (pair < PAIRS) pairs[pair].from = pairs[pair].to = NULL;
  driver_unlock();
  return pair < PAIRS ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
OFFER("cuCtxDisablePeerAccess", 4000, cuCtxDisablePeerAccess);

/* CUdevice_P2PAttribute: 1 rank, 2 access, 3 native atomics, 4 arrays */
API cuDeviceGetP2PAttribute(int *value, int attribute, CUdevice from, CUdevice to) {
  TRY(driver_ready());
  NEED(value && attribute >= 1 && attribute <= 4, CUDA_ERROR_INVALID_VALUE);
  NEED(driver_device(from) && driver_device(to) && from != to, CUDA_ERROR_INVALID_DEVICE);
  *value = attribute == 2;
  return CUDA_SUCCESS;
}
OFFER("cuDeviceGetP2PAttribute", 8000, cuDeviceGetP2PAttribute);

API cuCtxGetLimit(size_t *value, int limit) {
  CURRENT(context);
  NEED(value && limit >= 0 && limit < KNOWN_LIMITS, CUDA_ERROR_INVALID_VALUE);
  *value = limits[limit];
  return CUDA_SUCCESS;
}
OFFER("cuCtxGetLimit", 3010, cuCtxGetLimit);

API cuCtxSetLimit(int limit, size_t value) {
  CURRENT(context);
  NEED(limit >= 0 && limit < KNOWN_LIMITS, CUDA_ERROR_INVALID_VALUE);
  limits[limit] = value;
  return CUDA_SUCCESS;
}
OFFER("cuCtxSetLimit", 3010, cuCtxSetLimit);
