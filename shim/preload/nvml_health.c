/* What NVML reports besides codes: XID events and the wait for them, recovery action, remapped rows, ECC counters.
 *
 * The numbers are the slot's (the agent's catalogue has the meanings); they are added to the driver's, so a GPU that has
 * really remapped rows keeps them. Events are reported as by the driver: once, to registrations from before the fault
 * was armed. A wait is split into short ones, because the real driver does not know our events. Structures are those of
 * nvml.h.
 */
#include "raw.h"
#include "shim.h"

enum { REGISTRATIONS = 64, SLICE_MS = 50, TIMEOUT = 10 };
enum { EVENT_XID = 0x8, EVENT_RECOVERY_ACTION = 0x8000 };
enum { VALUE_UNSIGNED_INT = 1, VALUE_UNSIGNED_LONG_LONG = 3 };
enum { LOCATION_DRAM = 2 };

static uint32_t lock;
static struct registration {
  uint64_t set, device, types, since_ns;
  struct {
    uint32_t generation, told;
  } slots[OFFBUS_SLOTS];
} registrations[REGISTRATIONS];

struct event {
  uint64_t device, type, data;
};

/* A registration adds to that of the same set and device; with a full table, a new one gets no events. */
static void remember(uint64_t device, uint64_t types, uint64_t set) {
  uint64_t mask = lock_take(&lock);
  struct registration *entry = NULL;
  for (unsigned i = 0; i < REGISTRATIONS; i++) {
    struct registration *r = &registrations[i];
    if (r->set == set && r->device == device) entry = r;
    else if (!r->set && !entry) entry = r;
  }
  if (entry && !entry->set) {
    memset(entry, 0, sizeof *entry);
    entry->set = set, entry->device = device, entry->since_ns = raw_now_ns();
  }
  if (entry) entry->types |= types;
  lock_give(&lock, mask);
}

static bool knows(uint64_t set) {
  bool found = false;
  uint64_t mask = lock_take(&lock);
  for (unsigned i = 0; i < REGISTRATIONS; i++) found |= registrations[i].set == set;
  lock_give(&lock, mask);
  return found;
}

static void forget(uint64_t set) {
  uint64_t mask = lock_take(&lock);
  for (unsigned i = 0; i < REGISTRATIONS; i++)
    if (registrations[i].set == set) registrations[i].set = 0;
  lock_give(&lock, mask);
}

static uint32_t raised_by(const struct offbus_slot *slot) {
  return slot->nvml_events | (slot->xid ? EVENT_XID : 0u);
}

static uint64_t data_of(uint32_t type, const struct offbus_slot *slot) {
  if (type == EVENT_XID) return slot->xid;
  return type == EVENT_RECOVERY_ACTION ? slot->recovery_action : 0;
}

/* The fault's next event that this registration has not received; call with the lock held. */
static bool tell(struct registration *r, const struct fault *fault, struct event *into) {
  const struct offbus_slot *slot = &fault->slot;
  if (r->slots[fault->index].generation != slot->generation)
    r->slots[fault->index].generation = slot->generation, r->slots[fault->index].told = 0;
  uint32_t left = raised_by(slot) & (uint32_t)r->types & ~r->slots[fault->index].told;
  if (slot->armed_at_ns < r->since_ns || !left) return false;
  uint32_t type = left & -left;
  r->slots[fault->index].told |= type;
  *into = (struct event){r->device, type, data_of(type, slot)};
  return true;
}

static bool next_event(uint64_t set, const struct fault *faults, unsigned n, struct event *into) {
  bool found = false;
  for (unsigned i = 0; i < REGISTRATIONS && !found; i++) {
    struct registration *r = &registrations[i];
    if (__atomic_load_n(&r->set, __ATOMIC_RELAXED) != set) continue;
    struct gpu gpu = gpu_nvml(r->device); /* takes a lock of its own */
    uint64_t mask = lock_take(&lock);
    for (unsigned k = 0; k < n && !found && r->set == set; k++)
      found = gpu_matches(&faults[k].slot, &gpu) && tell(r, &faults[k], into);
    lock_give(&lock, mask);
  }
  return found;
}

static bool event_waits(uint64_t set, struct event *into) {
  struct fault faults[OFFBUS_SLOTS];
  unsigned n = page_faults(faults);
  return n && next_event(set, faults, n, into);
}

/* nvmlEventData_t; the first version of the call knows its first three members only. */
static void hand_over(uint32_t index, uint64_t at, const struct event *event) {
  uint64_t *data = (uint64_t *)at;
  data[0] = event->device, data[1] = event->type, data[2] = event->data;
  if (index == FN_nvmlEventSetWait_v2) ((uint32_t *)at)[6] = ((uint32_t *)at)[7] = 0xffffffffu; /* no MIG instance */
}

static uint64_t wait_for_event(uint32_t index, void *real, const uint64_t *args) {
  uint32_t left = (uint32_t)args[2];
  struct event event;
  if (!page_exists() || !args[1] || !knows(args[0])) return call_real(real, args);
  for (;;) {
    if (event_waits(args[0], &event)) {
      hand_over(index, args[1], &event);
      return 0;
    }
    uint32_t slice = left < SLICE_MS ? left : SLICE_MS;
    const uint64_t sliced[6] = {args[0], args[1], slice};
    uint64_t code = call_real(real, sliced);
    left -= slice;
    if ((uint32_t)code != TIMEOUT || !left) return code;
  }
}

uint64_t nvml_watch(uint32_t index, void *real, const uint64_t *args) {
  if (index == FN_nvmlEventSetWait || index == FN_nvmlEventSetWait_v2) return wait_for_event(index, real, args);
  if (index == FN_nvmlEventSetFree) forget(args[0]);
  uint64_t code = call_real(real, args);
  if (index == FN_nvmlDeviceRegisterEvents && !(uint32_t)code) remember(args[0], args[1], args[2]);
  return code;
}

/* The sum of what is in force on a GPU. */
struct shown {
  uint32_t recovery_action, remapped_correctable, remapped_uncorrectable, remap_pending, remap_failed;
  uint32_t ecc[2]; /* corrected, uncorrected: as nvmlMemoryErrorType_t counts them */
};

static struct shown shown_on(const struct gpu *gpu, const struct situation *now) {
  struct shown shown = {0};
  for (unsigned i = 0; i < now->n; i++) {
    const struct offbus_slot *slot = &now->faults[i].slot;
    if (!gpu_matches(slot, gpu)) continue;
    if (slot->recovery_action) shown.recovery_action = slot->recovery_action;
    shown.remapped_correctable += slot->remapped_correctable;
    shown.remapped_uncorrectable += slot->remapped_uncorrectable;
    shown.remap_pending |= slot->remap_pending != 0;
    shown.remap_failed |= slot->remap_failed != 0;
    shown.ecc[0] += slot->ecc_corrected;
    shown.ecc[1] += slot->ecc_uncorrected;
  }
  return shown;
}

struct field {
  uint32_t id, scope;
  int64_t timestamp, latency_us;
  uint32_t type, result;
  uint64_t value;
};

/* NVML_FI_DEV_*: what is added to a field, and whether it replaces what was there. */
static uint64_t added_to(uint32_t field, const struct shown *shown, bool *replaces) {
  *replaces = field == 144 || field == 145 || field == 230;
  switch (field) {
    case 3: case 5: return shown->ecc[0];
    case 4: case 6: return shown->ecc[1];
    case 142: return shown->remapped_correctable;
    case 143: return shown->remapped_uncorrectable;
    case 144: return shown->remap_pending;
    case 145: return shown->remap_failed;
    case 230: return shown->recovery_action;
    default: return 0;
  }
}

static void adjust_fields(struct field *fields, int32_t n, const struct shown *shown) {
  for (int32_t i = 0; fields && i < n; i++) {
    bool replaces;
    uint64_t more = added_to(fields[i].id, shown, &replaces);
    if (!more) continue;
    bool counted = !fields[i].result && !replaces;
    uint64_t before = counted ? fields[i].type == VALUE_UNSIGNED_INT ? (uint32_t)fields[i].value : fields[i].value : 0;
    if (fields[i].result) fields[i].type = fields[i].id < 100 ? VALUE_UNSIGNED_LONG_LONG : VALUE_UNSIGNED_INT;
    fields[i].result = 0;
    fields[i].value = before + more;
  }
}

static void add32(uint64_t at, uint32_t more) {
  if (at) *(uint32_t *)at += more;
}

static void adjust_rows(const uint64_t *args, const struct shown *shown) {
  add32(args[1], shown->remapped_correctable);
  add32(args[2], shown->remapped_uncorrectable);
  if (args[3] && shown->remap_pending) *(uint32_t *)args[3] = 1;
  if (args[4] && shown->remap_failed) *(uint32_t *)args[4] = 1;
}

/* nvmlRemappedRowsInfo_v2_t: correctable active and inactive, uncorrectable active and inactive, pending, failed. */
static void adjust_rows_v2(uint32_t *rows, const struct shown *shown) {
  if (!rows) return;
  rows[shown->remap_pending ? 1 : 0] += shown->remapped_correctable;
  rows[shown->remap_pending ? 3 : 2] += shown->remapped_uncorrectable;
  rows[4] |= shown->remap_pending;
  rows[5] |= shown->remap_failed;
}

static void add_ecc(uint64_t type, uint64_t at, const struct shown *shown) {
  if (at && (uint32_t)type < 2) *(uint64_t *)at += shown->ecc[(uint32_t)type];
}

void nvml_adjust(uint32_t index, const uint64_t *args, const struct gpu *gpu, const struct situation *now) {
  struct shown shown = shown_on(gpu, now);
  switch (index) {
    case FN_nvmlDeviceGetFieldValues: adjust_fields((struct field *)args[2], (int32_t)args[1], &shown); break;
    case FN_nvmlDeviceGetRemappedRows: adjust_rows(args, &shown); break;
    case FN_nvmlDeviceGetRemappedRows_v2: adjust_rows_v2((uint32_t *)args[1], &shown); break;
    case FN_nvmlDeviceGetTotalEccErrors: add_ecc(args[1], args[3], &shown); break;
    case FN_nvmlDeviceGetMemoryErrorCounter:
      if ((uint32_t)args[3] == LOCATION_DRAM) add_ecc(args[1], args[4], &shown);
      break;
    default: break;
  }
}
