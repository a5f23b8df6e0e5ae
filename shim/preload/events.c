/* The process's rows in the events page: one per generation that it had to do with.
 *
 * The page is shared with processes that nobody vouches for, so nothing read from it is trusted: a row is used only
 * while it carries this process's token, and every index is computed here. A full table drops the record, not the
 * fault.
 */
#include "raw.h"
#include "shim.h"

static struct {
  uint32_t generation;
  struct offbus_row *row;
} mine[OFFBUS_SLOTS];
static int mine_pid;

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 32;
}

static uint64_t token_of(const struct process *self, uint32_t generation) {
  uint64_t token = mix(mix(mix(mix(1, self->pid_namespace), (uint64_t)self->pid), self->start_ns), generation);
  return token ? token : 1;
}

static bool swap(struct offbus_row *row, uint64_t from, uint64_t to) {
  return __atomic_compare_exchange_n(&row->owner, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void fill(struct offbus_row *row, const struct process *self, uint32_t generation) {
  __atomic_store_n(&row->generation, 0, __ATOMIC_RELAXED);
  memset(&row->cuda, 0, sizeof row->cuda);
  memset(&row->nvml, 0, sizeof row->nvml);
  row->pid = self->pid;
  row->pid_namespace = self->pid_namespace;
  row->start_ns = self->start_ns;
  __atomic_store_n(&row->intercepted, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&row->faulted, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&row->generation, generation, __ATOMIC_RELEASE);
}

/* Generation 0 is a row that somebody is filling. */
static bool in_force(uint32_t generation, const struct situation *now) {
  if (!generation) return true;
  for (unsigned i = 0; i < now->n; i++)
    if (now->faults[i].slot.generation == generation) return true;
  return false;
}

/* The row that already carries the token, else a free one, else one of a generation that is over. */
static struct offbus_row *claim(uint64_t token, const struct situation *now, bool *fresh) {
  for (unsigned pass = 0; pass < 3; pass++) {
    for (unsigned i = 0; i < OFFBUS_ROWS; i++) {
      struct offbus_row *row = &page_events->rows[(token + i) % OFFBUS_ROWS];
      uint64_t owner = __atomic_load_n(&row->owner, __ATOMIC_RELAXED);
      *fresh = pass > 0;
      if (pass == 0 && owner == token) return row;
      if (pass == 1 && !owner && swap(row, 0, token)) return row;
      if (pass == 2 && !in_force(row->generation, now) && swap(row, owner, token)) return row;
    }
  }
  return NULL;
}

static uint32_t claim_lock;

/* A row's owner changes when the agent clears the page: then another is claimed. */
static struct offbus_row *row_of(const struct fault *fault, const struct situation *now) {
  const struct process *self = &now->self;
  uint32_t generation = fault->slot.generation;
  uint64_t token = token_of(self, generation);
  bool fresh = false;
  lock_take(&claim_lock);
  if (mine_pid != self->pid) memset(mine, 0, sizeof mine), mine_pid = self->pid;
  struct offbus_row *row = mine[fault->index].generation == generation ? mine[fault->index].row : NULL;
  if (!row || __atomic_load_n(&row->owner, __ATOMIC_RELAXED) != token) {
    row = claim(token, now, &fresh);
    if (row && fresh) fill(row, self, generation);
    mine[fault->index].generation = generation;
    mine[fault->index].row = row;
  }
  lock_give(&claim_lock);
  return row;
}

void events_count(const struct fault *fault, bool faulted, const struct situation *now) {
  struct offbus_row *row = page_events ? row_of(fault, now) : NULL;
  if (!row) return;
  __atomic_fetch_add(faulted ? &row->faulted : &row->intercepted, 1, __ATOMIC_RELAXED);
}

static void write_record(struct offbus_record *record, const struct fault *fault, const struct function *f,
                         const struct gpu *gpu, int32_t code) {
  record->code = code;
  record->pid = process_pid();
  record->tid = raw_gettid();
  record->at_ns = raw_now_ns();
  record->slot = fault->index;
  memcpy(record->gpu_uuid, gpu->uuid, sizeof gpu->uuid);
  for (size_t i = 0; i < OFFBUS_FUNCTION_SIZE - 1 && f->name[i]; i++) record->function[i] = f->name[i];
}

void events_record(const struct fault *fault, const struct function *f, const struct gpu *gpu, int32_t code) {
  struct offbus_row *row = page_events ? mine[fault->index].row : NULL;
  if (!row) return;
  struct offbus_record *record = is_nvml(f) ? &row->nvml : &row->cuda;
  uint32_t none = OFFBUS_RECORD_NONE;
  if (!__atomic_compare_exchange_n(&record->state, &none, OFFBUS_RECORD_WRITING, false, __ATOMIC_ACQUIRE,
                                   __ATOMIC_RELAXED))
    return;
  write_record(record, fault, f, gpu, code);
  __atomic_store_n(&record->state, OFFBUS_RECORD_COMPLETE, __ATOMIC_RELEASE);
  page_ring();
}
