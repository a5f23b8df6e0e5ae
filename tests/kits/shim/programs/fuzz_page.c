/* The shim's core (make core) under pages of any content: a fuzzer's target, for libFuzzer or, with STANDALONE, for its
 * own main, which makes inputs from a fixed seed.
 *
 * OFFBUS_PAGE_DIR names a folder with two good files that the agent's own code has made, one fault armed. An input is a
 * list of patches to them, each `place (2 bytes), length (1 byte), bytes`; every input starts from the files as they
 * were. What the core answers is held against the page: a code of a slot that is in force, or the driver's own answer.
 * What happens to memory is the sanitizers' to see. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "offbus_page.h"

void shim_start(void);
int cuInit(unsigned), cuCtxSynchronize(void), cuDevicePrimaryCtxRetain(void **, int), cuCtxSetCurrent(void *);
int cuMemAlloc_v2(uint64_t *, size_t), cuMemFree_v2(uint64_t), cuStreamQuery(void *);
int nvmlInit_v2(void), nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
int nvmlDeviceGetTemperature(void *, int, unsigned *), nvmlDeviceGetFieldValues(void *, int, void *);
int nvmlDeviceGetRemappedRows(void *, unsigned *, unsigned *, unsigned *, unsigned *);
int nvmlDeviceGetTotalEccErrors(void *, int, int, unsigned long long *);
int nvmlDeviceRegisterEvents(void *, unsigned long long, void *), nvmlEventSetCreate(void **);
int nvmlEventSetWait_v2(void *, void *, unsigned);
int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { TIMEOUT = 10, XID = 0x8, RECOVERY_ACTION = 0x8000, RESTART_EVERY = 16, HANG_EVERY = 32 };

static struct offbus_ctl *ctl, good_ctl;
static uint8_t *events, *good_events;
static void *device, *event_set;
static unsigned inputs;

static void *map(const char *name, size_t size) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", getenv("OFFBUS_PAGE_DIR"), name);
  int fd = open(path, O_RDWR);
  void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) perror(path), exit(1);
  return at;
}

static uint64_t now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_BOOTTIME, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  void *context;
  (void)count, (void)arguments;
  ctl = map("ctl", OFFBUS_CTL_SIZE), events = map("events", OFFBUS_EVENTS_SIZE);
  good_ctl = *ctl, good_events = malloc(OFFBUS_EVENTS_SIZE);
  memcpy(good_events, events, OFFBUS_EVENTS_SIZE);
  ctl->armed = 0;
  if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context)) exit(1);
  if (nvmlInit_v2() || nvmlDeviceGetHandleByIndex_v2(0, &device) || nvmlEventSetCreate(&event_set)) exit(1);
  if (nvmlDeviceRegisterEvents(device, XID | RECOVERY_ACTION, event_set)) exit(1);
  return 0;
}

/* Most places that a patch can name are in the header and the first two slots: the rest is more of the same. */
static uint8_t *place(unsigned at, size_t *room) {
  size_t size = at & 0x8000 ? OFFBUS_EVENTS_SIZE : OFFBUS_CTL_SIZE;
  size_t offset = at & 0x8000 ? (at & 0x7fff) * 4 : at & 0x4000 ? (at & 0x3fff) % 512 : (at & 0x3fff) % size;
  *room = size - offset;
  return (at & 0x8000 ? events : (uint8_t *)ctl) + offset;
}

static void patch(const uint8_t *data, size_t size) {
  while (size > 3) {
    size_t room, length = data[2];
    uint8_t *at = place(data[0] | (unsigned)data[1] << 8, &room);
    data += 3, size -= 3;
    if (length > size) length = size;
    if (length > room) length = room;
    memcpy(at, data, length);
    data += length, size -= length;
  }
}

static bool in_force(const struct offbus_slot *slot, uint64_t now) {
  uint64_t age = now >= ctl->heartbeat_ns ? now - ctl->heartbeat_ns : ctl->heartbeat_ns - now;
  return ctl->armed && !(ctl->seq & 1) && ctl->boot_id_hash == good_ctl.boot_id_hash && ctl->heartbeat_ns &&
         age <= ctl->heartbeat_ttl_ns && slot->flags & OFFBUS_ENABLED && slot->mode <= OFFBUS_MODE_LOST &&
         !(slot->expires_ns && now >= slot->expires_ns);
}

/* Faults that would keep us or outlive this input: a hang ends with its slot, mostly before it begins, stickiness with
 * its generation, and one writer that died is like another. Answers whether calls may take their time. */
static bool tame(void) {
  bool slow = false;
  if (ctl->seq & 1) ctl->seq = 1;
  for (unsigned i = 0; i < OFFBUS_SLOTS; i++) {
    struct offbus_slot *slot = &ctl->slots[i];
    slot->flags &= (uint16_t)~OFFBUS_SURVIVE_DISARM;
    if (slot->mode != OFFBUS_MODE_HANG && slot->mode != OFFBUS_MODE_DELAY) continue;
    slot->expires_ns = now_ns() + (inputs % HANG_EVERY ? 0 : 1000000);
    slow |= slot->flags & OFFBUS_ENABLED;
  }
  return slow;
}

/* An answer is the driver's own or that of a slot that was in force when the calls began. */
static bool allowed[OFFBUS_SLOTS];

static void hold(const char *what, int answer, int own, bool nvml) {
  bool right = answer == own;
  for (unsigned i = 0; i < OFFBUS_SLOTS && !right; i++)
    right = allowed[i] && answer == (nvml ? ctl->slots[i].nvml_err : ctl->slots[i].cuda_err);
  if (right) return;
  fprintf(stderr, "%s answers %d, which no fault in force says\n", what, answer);
  abort();
}

static void call_cuda(void) {
  uint64_t memory = 0;
  void *context;
  hold("cuCtxSynchronize", cuCtxSynchronize(), 0, false);
  int code = cuMemAlloc_v2(&memory, 64);
  hold("cuMemAlloc_v2", code, 0, false);
  if (!code) cuMemFree_v2(memory);
  hold("cuStreamQuery", cuStreamQuery(NULL), 0, false);
  code = cuDevicePrimaryCtxRetain(&context, 0);
  hold("cuDevicePrimaryCtxRetain", code, 0, false);
  hold("cuInit", cuInit(0), 0, false);
}

static void call_nvml(void) {
  struct {
    uint32_t id, scope;
    int64_t at, us;
    uint32_t type, result;
    uint64_t value;
  } fields[] = {{.id = 4}, {.id = 142}, {.id = 143}, {.id = 144}, {.id = 145}, {.id = 230}};
  unsigned rows[4];
  unsigned long long count;
  struct {
    void *device;
    uint64_t type, data;
    uint32_t gi, ci;
  } event;
  void *handle;
  hold("nvmlDeviceGetHandleByIndex_v2", nvmlDeviceGetHandleByIndex_v2(0, &handle), 0, true);
  hold("nvmlDeviceGetTemperature", nvmlDeviceGetTemperature(device, 0, rows), 0, true);
  hold("nvmlDeviceGetFieldValues", nvmlDeviceGetFieldValues(device, 6, fields), 0, true);
  hold("nvmlDeviceGetRemappedRows", nvmlDeviceGetRemappedRows(device, rows, rows + 1, rows + 2, rows + 3), 0, true);
  hold("nvmlDeviceGetTotalEccErrors", nvmlDeviceGetTotalEccErrors(device, 1, 0, &count), 0, true);
  int code = nvmlEventSetWait_v2(event_set, &event, 0);
  if (code) hold("nvmlEventSetWait_v2", code, TIMEOUT, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  *ctl = good_ctl;
  memcpy(events, good_events, OFFBUS_EVENTS_SIZE);
  patch(data, size);
  bool slow = tame();
  uint64_t now = now_ns();
  if (inputs++ % RESTART_EVERY == 0) shim_start();
  for (unsigned i = 0; i < OFFBUS_SLOTS; i++) allowed[i] = in_force(&ctl->slots[i], now);
  hold("cuCtxSynchronize", cuCtxSynchronize(), 0, false);
  if (!slow) call_cuda(), call_nvml();
  return 0;
}

#ifdef STANDALONE
static uint64_t state;

static uint64_t next(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

/* Numbers at the edges are where things break. */
static uint8_t some_byte(void) {
  static const uint8_t edges[] = {0, 0, 1, 2, 3, 4, 0x7f, 0x80, 0xff, 0xff};
  uint64_t n = next();
  return n & 1 ? edges[(n >> 8) % sizeof edges] : (uint8_t)(n >> 8);
}

static size_t make_input(uint8_t *into, size_t room) {
  size_t size = 0;
  for (uint64_t patches = 1 + next() % 6; patches && size + 3 + 48 < room; patches--) {
    uint64_t at = next();
    uint8_t length = (uint8_t)(1 + (next() % 4 ? next() % 8 : next() % 48));
    into[size++] = (uint8_t)at, into[size++] = (uint8_t)(at >> 8), into[size++] = length;
    while (length--) into[size++] = some_byte();
  }
  return size;
}

int main(int count, char **arguments) {
  uint8_t input[512];
  if (count != 3) return 2;
  state = strtoull(arguments[2], NULL, 10);
  LLVMFuzzerInitialize(&count, &arguments);
  for (long runs = strtol(arguments[1], NULL, 10); runs; runs--)
    LLVMFuzzerTestOneInput(input, make_input(input, sizeof input));
  printf("%u inputs\n", inputs);
  return 0;
}
#endif
