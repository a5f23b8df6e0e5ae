/* The state of this process: its identity, and for each slot its progress in the slot's generation.
 *
 * A forked child is another process: it starts with empty state. Its start is then read from /proc (10 ms steps, rounded
 * down), otherwise it is the moment when the shim was loaded.
 */
#include "raw.h"
#include "shim.h"

enum { NS_PER_TICK = 10000000, UNKNOWN_DEVICE = 63 };

struct slot_state {
  uint32_t generation;
  uint64_t calls;
  uint64_t sticky_devices; /* bit = ordinal; UNKNOWN_DEVICE for calls whose GPU is not known */
};

static uint32_t lock;
static int current_pid;
static struct process self;
static struct slot_state slots[OFFBUS_SLOTS];
static struct {
  uint64_t devices;
  int32_t code[64];
  bool lost[64];
} survivors;
static bool announced;

static uint64_t read_number(const char **text) {
  uint64_t value = 0;
  while (**text >= '0' && **text <= '9') value = value * 10 + (uint64_t)(*(*text)++ - '0');
  return value;
}

/* Inode of "pid:[4026531836]", 0 when it cannot be read. */
static uint64_t read_pid_namespace(void) {
  char link[64] = "";
  const char *at = link;
  raw_readlink("/proc/self/ns/pid", link, sizeof link - 1);
  while (*at && *at != '[') at++;
  if (*at == '[') at++;
  return read_number(&at);
}

/* Field 22 of /proc/self/stat, in ticks of 1/100 s since boot; the name in field 2 may hold anything. */
static uint64_t read_start_ns(void) {
  char stat[1024] = "";
  int fd = raw_open("/proc/self/stat", O_RDONLY);
  long got = fd >= 0 ? raw_read(fd, stat, sizeof stat - 1) : 0;
  const char *at = stat + (got > 0 ? got : 0);
  if (fd >= 0) raw_close(fd);
  while (at > stat && *at != ')') at--;
  for (int field = 2; field < 22 && *at; at++)
    if (*at == ' ') field++;
  uint64_t ticks = read_number(&at);
  return ticks ? ticks * NS_PER_TICK : raw_now_ns();
}

void process_start(void) {
  self.pid = current_pid = raw_getpid();
  self.start_ns = raw_now_ns();
}

static void begin_again(int pid) {
  memset(slots, 0, sizeof slots);
  memset(&survivors, 0, sizeof survivors);
  announced = false;
  self = (struct process){pid, read_start_ns(), 0};
}

bool process_notice(void) {
  int pid = raw_getpid();
  if (pid == __atomic_load_n(&current_pid, __ATOMIC_RELAXED)) return false;
  __atomic_store_n(&current_pid, pid, __ATOMIC_RELAXED);
  uint64_t mask = lock_take(&lock);
  bool forked = self.pid != pid;
  if (forked) begin_again(pid);
  lock_give(&lock, mask);
  return forked;
}

struct process process_self(void) {
  uint64_t mask = lock_take(&lock);
  if (!self.pid_namespace) self.pid_namespace = read_pid_namespace();
  struct process copy = self;
  lock_give(&lock, mask);
  return copy;
}

static uint64_t device_bit(const struct gpu *gpu) {
  bool known = gpu->known && gpu->ordinal >= 0 && gpu->ordinal < UNKNOWN_DEVICE;
  return 1ull << (known ? gpu->ordinal : UNKNOWN_DEVICE);
}

/* Call with the lock held. */
static struct slot_state *state_of(const struct fault *fault) {
  struct slot_state *state = &slots[fault->index];
  if (state->generation != fault->slot.generation)
    *state = (struct slot_state){.generation = fault->slot.generation};
  return state;
}

bool process_sticky(const struct fault *fault, const struct gpu *gpu) {
  uint64_t mask = lock_take(&lock);
  bool sticky = state_of(fault)->sticky_devices & device_bit(gpu);
  lock_give(&lock, mask);
  return sticky;
}

static void survive(const struct fault *fault, uint64_t bit) {
  int device = __builtin_ctzll(bit);
  __atomic_fetch_or(&survivors.devices, bit, __ATOMIC_RELAXED);
  survivors.code[device] = fault->slot.cuda_err;
  survivors.lost[device] = fault->slot.mode == OFFBUS_MODE_LOST;
}

bool process_stick(const struct fault *fault, const struct gpu *gpu) {
  uint64_t bit = device_bit(gpu);
  uint64_t mask = lock_take(&lock);
  state_of(fault)->sticky_devices |= bit;
  bool survives = fault->slot.flags & OFFBUS_SURVIVE_DISARM && gpu->known;
  if (survives) survive(fault, bit);
  lock_give(&lock, mask);
  return survives;
}

uint64_t process_next_call(const struct fault *fault) {
  uint64_t mask = lock_take(&lock);
  uint64_t number = state_of(fault)->calls++;
  lock_give(&lock, mask);
  return number;
}

bool process_any_survives(void) { return __atomic_load_n(&survivors.devices, __ATOMIC_RELAXED); }

bool process_survives(const struct gpu *gpu, int32_t *code, bool *lost) {
  uint64_t bit = device_bit(gpu);
  uint64_t mask = lock_take(&lock);
  bool found = gpu->known && survivors.devices & bit;
  if (found) {
    *code = survivors.code[__builtin_ctzll(bit)];
    *lost = survivors.lost[__builtin_ctzll(bit)];
  }
  lock_give(&lock, mask);
  return found;
}

bool process_first_fault(void) { return !__atomic_exchange_n(&announced, true, __ATOMIC_RELAXED); }
