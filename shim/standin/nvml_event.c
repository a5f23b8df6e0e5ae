/* Event sets. Nothing ever happens to a stand-in GPU, so a wait ends by its timeout. */
#include <stdlib.h>
#include <time.h>

#include "nvml_standin.h"

struct event_set {
  uint32_t magic;
};
enum { EVENT_SET = 0x4f455653 };

/* Single and double bit ECC, performance state, critical Xid, clock; retired memory and its failure, poison that was
 * contained and that was not, GPU unavailable, recovery action. */
static const unsigned long long supported = 0x1f | 0x400 | 0x800 | 0x1000 | 0x2000 | 0x4000 | 0x8000;

static bool is_set(const struct event_set *set) { return set && set->magic == EVENT_SET; }

API nvmlEventSetCreate(struct event_set **into) {
  TRY(nvml_ready());
  NEED(into, NVML_ERROR_INVALID_ARGUMENT);
  *into = calloc(1, sizeof **into);
  NEED(*into, NVML_ERROR_MEMORY);
  (*into)->magic = EVENT_SET;
  return NVML_SUCCESS;
}

API nvmlEventSetFree(struct event_set *set) {
  TRY(nvml_ready());
  NEED(is_set(set), NVML_ERROR_INVALID_ARGUMENT);
  set->magic = 0;
  free(set);
  return NVML_SUCCESS;
}

API nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *into) { STORE(device, into, supported); }

API nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, struct event_set *set) {
  TRY(nvml_check(device));
  NEED(is_set(set), NVML_ERROR_INVALID_ARGUMENT);
  return types & ~supported ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

API nvmlEventSetWait_v2(struct event_set *set, void *data, unsigned timeout_ms) {
  TRY(nvml_ready());
  NEED(is_set(set) && data, NVML_ERROR_INVALID_ARGUMENT);
  struct timespec left = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0) continue;
  return NVML_ERROR_TIMEOUT;
}
