/* What this process reports in the events file: one row per generation that affected it.
 *
 * The file is shared with untrusted processes, so nothing of it is mapped (a truncated file would kill us) and nothing
 * read from it is trusted: the row is held here and written with pwrite, at an offset that is computed here. A full
 * table, or a file that cannot be written, drops the record, not the fault. The first calls are written one by one; with
 * many calls, a process writes every 20 ms, and the rest when it ends.
 */
#include "raw.h"
#include "shim.h"

enum { NO_ROW = -1, AT_ONCE = 64, FLUSH_NS = 20000000, LOCK_PATIENCE_NS = 20000000, RETRY_NS = 1000000000, CHUNK = 16 };

static struct {
  struct offbus_row row; /* as it should be in the file; generation 0 = not in use */
  uint64_t written_ns;
  int index;
  bool stale; /* the file has less than `row` */
} mine[OFFBUS_SLOTS];
static int mine_pid;
static uint32_t lock;
static bool complained; /* at the first faulted call of this process, once */
static uint64_t hopeless_until_ns;
static struct offbus_row chunk[CHUNK];

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ hash >> 32;
}

static uint64_t token_of(const struct process *self, uint32_t generation) {
  uint64_t token = mix(mix(mix(mix(1 + build_kind, self->pid_namespace), (uint64_t)self->pid), self->start_ns), generation);
  return token ? token : 1;
}

static long row_at(int index) { return (long)(sizeof(struct offbus_events) - sizeof(struct offbus_row) * OFFBUS_ROWS) +
                                       index * (long)sizeof(struct offbus_row); }

static bool in_force(uint32_t generation, const struct situation *now) {
  for (unsigned i = 0; i < now->n; i++)
    if (now->faults[i].slot.generation == generation) return true;
  return false;
}

/* How suitable a row is: 3 = already ours, 2 = free, 1 = of a generation that is over, 0 = in use. */
static int claim_of(const struct offbus_row *row, uint64_t token, const struct situation *now) {
  if (row->owner == token) return 3;
  if (!row->owner) return 2;
  return in_force(row->generation, now) ? 0 : 1;
}

/* The best row for `token`, the first of its kind; NO_ROW = all are taken. Call while the file is locked. */
static int find_row(int fd, uint64_t token, const struct situation *now) {
  int best = NO_ROW, best_claim = 0;
  for (int first = 0; first < OFFBUS_ROWS && best_claim < 3; first += CHUNK) {
    memset(chunk, 0, sizeof chunk);
    raw_pread(fd, chunk, sizeof chunk, row_at(first));
    for (int i = 0; i < CHUNK && first + i < OFFBUS_ROWS; i++) {
      int claim = claim_of(&chunk[i], token, now);
      if (claim > best_claim) best = first + i, best_claim = claim;
    }
  }
  return best;
}

/* Waits a short time for the lock; while another process holds it, records are dropped and it is retried rarely. */
static bool lock_file(int fd) {
  uint64_t began = raw_now_ns();
  if (began < hopeless_until_ns) return false;
  while (!raw_lock(fd)) {
    if (raw_now_ns() - began > LOCK_PATIENCE_NS) {
      hopeless_until_ns = raw_now_ns() + RETRY_NS;
      return false;
    }
    raw_yield();
  }
  return true;
}

static void begin_row(unsigned at, const struct situation *now, uint32_t generation) {
  memset(&mine[at], 0, sizeof mine[at]);
  mine[at].index = NO_ROW;
  mine[at].row.owner = token_of(&now->self, generation);
  mine[at].row.generation = generation;
  mine[at].row.pid = now->self.pid;
  mine[at].row.pid_namespace = now->self.pid_namespace;
  mine[at].row.start_ns = now->self.start_ns;
}

/* The agent frees rows whose evidence it has: later calls are counted in a new one. */
static void forget_if_freed(int fd, unsigned at, const struct situation *now) {
  uint64_t owner = 0;
  if (mine[at].index == NO_ROW) return;
  raw_pread(fd, &owner, sizeof owner, row_at(mine[at].index));
  if (owner == mine[at].row.owner) return;
  struct offbus_row kept = mine[at].row;
  begin_row(at, now, kept.generation);
}

/* Locked until the row is in the file with its owner; closing the descriptor unlocks. */
static void write_row(int fd, unsigned at, const struct situation *now) {
  if (mine[at].index == NO_ROW && now && lock_file(fd)) mine[at].index = find_row(fd, mine[at].row.owner, now);
  if (mine[at].index == NO_ROW) return;
  if (raw_pwrite(fd, &mine[at].row, sizeof mine[at].row, row_at(mine[at].index)) < 0) return;
  mine[at].written_ns = raw_now_ns();
  mine[at].stale = false;
}

/* Call with the lock held. */
static void open_row(unsigned at, uint32_t generation, const struct situation *now) {
  if (mine_pid != now->self.pid) memset(mine, 0, sizeof mine), mine_pid = now->self.pid;
  if (mine[at].row.generation != generation) begin_row(at, now, generation);
}

static void fill_record(struct offbus_record *record, const struct fault *fault, const struct function *f,
                        const struct gpu *gpu, int32_t code) {
  record->state = OFFBUS_RECORD_COMPLETE;
  record->code = code;
  record->pid = mine_pid;
  record->tid = raw_gettid();
  record->at_ns = raw_now_ns();
  record->slot = fault->index;
  memcpy(record->gpu_uuid, gpu->uuid, sizeof gpu->uuid);
  for (size_t i = 0; i < OFFBUS_FUNCTION_SIZE - 1 && f->name[i]; i++) record->function[i] = f->name[i];
}

/* Whether to write now: each of the first calls, then from time to time, and always a first faulted call. */
static bool is_due(unsigned at, bool urgent) {
  return urgent || mine[at].row.intercepted + mine[at].row.faulted < AT_ONCE ||
         raw_now_ns() - mine[at].written_ns >= FLUSH_NS;
}

void events_note(const struct fault *fault, const struct function *f, const struct situation *now, bool faulted,
                 const struct gpu *gpu, int32_t code) {
  unsigned at = fault->index;
  uint64_t mask = lock_take(&lock);
  open_row(at, fault->slot.generation, now);
  struct offbus_record *record = is_nvml(f) ? &mine[at].row.nvml : &mine[at].row.cuda;
  bool first = faulted && record->state != OFFBUS_RECORD_COMPLETE;
  int fd = is_due(at, first) ? page_open_events(first && !complained) : -1;
  complained |= first;
  if (fd >= 0) forget_if_freed(fd, at, now);
  if (faulted && record->state != OFFBUS_RECORD_COMPLETE) fill_record(record, fault, f, gpu, code);
  mine[at].row.intercepted += f->class_mask != 0;
  mine[at].row.faulted += faulted;
  mine[at].stale = true;
  if (fd >= 0) write_row(fd, at, now), raw_close(fd);
  lock_give(&lock, mask);
}

/* Writes what was counted since the last write. */
__attribute__((destructor)) static void finish(void) {
  uint64_t mask = lock_take(&lock);
  bool any = false;
  for (unsigned i = 0; i < OFFBUS_SLOTS; i++) any |= mine[i].stale && mine[i].index != NO_ROW && mine[i].row.owner;
  int fd = any && mine_pid == raw_getpid() ? page_open_events(false) : -1;
  for (unsigned i = 0; fd >= 0 && i < OFFBUS_SLOTS; i++)
    if (mine[i].stale) write_row(fd, i, NULL);
  if (fd >= 0) raw_close(fd);
  lock_give(&lock, mask);
}
