/* The two files, from a process's side: found by the environment at start, mapped, and from then on only read.
 *
 * Whatever is wrong with them, the process runs as without the shim; if it uses CUDA or NVML, one line on stderr says
 * why. Without OFFBUS_PAGE_DIR the shim is silent and idle. The environment is read from /proc, because a preloaded object may be
 * initialised before libc is.
 */
#include "raw.h"
#include "shim.h"

enum { PATH_SIZE = 1024, PATIENCE_NS = 100000000 };

static const uint32_t never = 0, always = 1;
static const struct offbus_ctl *ctl;
static uint64_t boot_id_hash;
static char events_path[PATH_SIZE + 16];

/* What thunks load; see thunk.h. */
__attribute__((visibility("hidden"))) const uint32_t *offbus_word = &never;
struct offbus_events *page_events;

void page_keep_armed(void) { __atomic_store_n(&offbus_word, &always, __ATOMIC_RELEASE); }
void page_follow(void) { __atomic_store_n(&offbus_word, ctl ? &ctl->armed : &never, __ATOMIC_RELEASE); }

static struct line complaint;

/* Kept until the process turns out to use CUDA or NVML: a shell has nothing to say about pages. */
static void complain(const char *path, const char *why) {
  line_add(&complaint, "offbus: no faults here: ");
  line_add(&complaint, path);
  line_add(&complaint, " ");
  line_add(&complaint, why);
}

void page_speak(void) {
  if (!__atomic_load_n(&complaint.used, __ATOMIC_RELAXED)) return;
  struct line line = complaint;
  complaint.used = 0;
  line_say(&line);
}

/* Where a scan of NAME=value\0NAME=value\0… for one name is. */
struct scan {
  const char *name;
  char *value;
  size_t room, at;
  enum { IN_NAME, IN_VALUE, IN_ANOTHER, FOUND } state;
};

static void scan_byte(struct scan *scan, char byte) {
  if (!byte) {
    scan->state = scan->state == IN_VALUE ? FOUND : IN_NAME;
    scan->at = 0;
  } else if (scan->state == IN_VALUE) {
    if (scan->at < scan->room - 1) scan->value[scan->at++] = byte, scan->value[scan->at] = 0;
  } else if (scan->state == IN_NAME) {
    if (scan->name[scan->at] == byte) scan->at++;
    else if (!scan->name[scan->at] && byte == '=') scan->state = IN_VALUE, scan->at = 0;
    else scan->state = IN_ANOTHER;
  }
}

/* Reads a variable of the initial environment into `value`, "" when it is not there; a long value is cut. */
static void read_environment(const char *name, char *value, size_t room) {
  char chunk[4096];
  struct scan scan = {name, value, room, 0, IN_NAME};
  int fd = raw_open("/proc/self/environ", O_RDONLY);
  value[0] = 0;
  for (long got; fd >= 0 && scan.state != FOUND && (got = raw_read(fd, chunk, sizeof chunk)) > 0;)
    for (long i = 0; i < got && scan.state != FOUND; i++) scan_byte(&scan, chunk[i]);
  if (fd >= 0) raw_close(fd);
}

static uint64_t hash_boot_id(void) {
  char id[36];
  int fd = raw_open("/proc/sys/kernel/random/boot_id", O_RDONLY);
  long got = fd >= 0 ? raw_read(fd, id, sizeof id) : 0;
  uint64_t hash = 14695981039346656037u;
  if (fd >= 0) raw_close(fd);
  if (got != (long)sizeof id) return 0;
  for (size_t i = 0; i < sizeof id; i++) hash = (hash ^ (unsigned char)id[i]) * 1099511628211u;
  return hash;
}

static void *map_file(const char *path, size_t size, int flags, int protection, const char **why) {
  int fd = raw_open(path, flags);
  void *at = NULL;
  *why = "cannot be opened";
  if (fd < 0) return NULL;
  *why = "has another size: not a page of this version";
  if (raw_size(fd) == (long)size) {
    *why = "cannot be mapped";
    at = raw_map(fd, size, protection);
  }
  raw_close(fd);
  return at;
}

static void open_ctl(const char *path) {
  const char *why;
  const struct offbus_ctl *page = map_file(path, OFFBUS_CTL_SIZE, O_RDONLY, PROT_READ, &why);
  if (page && (page->magic != OFFBUS_CTL_MAGIC || page->abi_major != OFFBUS_ABI_MAJOR || page->size != OFFBUS_CTL_SIZE))
    page = NULL, why = "is not a control page of this version";
  if (!page) {
    complain(path, why);
    return;
  }
  ctl = page;
  boot_id_hash = hash_boot_id();
  page_follow();
}

static void open_events(void) {
  const char *why;
  struct offbus_events *page = map_file(events_path, OFFBUS_EVENTS_SIZE, O_RDWR, PROT_READ | PROT_WRITE, &why);
  if (page && (page->magic != OFFBUS_EVENTS_MAGIC || page->abi_major != OFFBUS_ABI_MAJOR ||
               page->size != OFFBUS_EVENTS_SIZE))
    page = NULL, why = "is not an events page of this version";
  if (!page) complain(events_path, why);
  page_events = page;
}

static void join(char *into, const char *folder, const char *file) {
  size_t length = text_length(folder);
  memcpy(into, folder, length);
  memcpy(into + length, file, text_length(file) + 1);
}

__attribute__((constructor)) static void start(void) {
  char folder[PATH_SIZE], ctl_path[PATH_SIZE + 16];
  read_environment("OFFBUS_PAGE_DIR", folder, sizeof folder);
  if (!folder[0]) return;
  process_start();
  join(ctl_path, folder, "/ctl");
  join(events_path, folder, "/events");
  open_ctl(ctl_path);
  if (ctl) open_events();
}

static bool expired(const struct offbus_slot *slot, uint64_t now) {
  return slot->expires_ns && now >= slot->expires_ns;
}

/* A heartbeat from the future is of another boot. */
static bool alive(uint64_t now) {
  uint64_t beat = __atomic_load_n(&ctl->heartbeat_ns, __ATOMIC_RELAXED);
  uint64_t ttl = __atomic_load_n(&ctl->heartbeat_ttl_ns, __ATOMIC_RELAXED);
  uint64_t boot = __atomic_load_n(&ctl->boot_id_hash, __ATOMIC_RELAXED);
  if (boot_id_hash && boot != boot_id_hash) return false;
  return beat && (now >= beat ? now - beat <= ttl : beat - now <= ttl);
}

static unsigned copy_enabled(struct fault *into) {
  unsigned n = 0;
  for (unsigned i = 0; i < OFFBUS_SLOTS; i++) {
    const volatile uint64_t *words = (const volatile uint64_t *)&ctl->slots[i];
    if (!(__atomic_load_n(&ctl->slots[i].flags, __ATOMIC_RELAXED) & OFFBUS_ENABLED)) continue;
    uint64_t *to = (uint64_t *)&into[n].slot;
    for (unsigned w = 0; w < sizeof(struct offbus_slot) / 8; w++) to[w] = words[w];
    into[n].slot.fault_id[OFFBUS_FAULT_ID_SIZE - 1] = 0;
    into[n++].index = i;
  }
  return n;
}

/* A writer that stays odd has died in the middle: then nothing is in force until an agent mends the page. */
static bool copy_consistent(struct fault *into, unsigned *n, uint64_t began) {
  for (;;) {
    uint32_t before = __atomic_load_n(&ctl->seq, __ATOMIC_ACQUIRE);
    if (!(before & 1u)) {
      *n = copy_enabled(into);
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
      if (__atomic_load_n(&ctl->seq, __ATOMIC_RELAXED) == before) return true;
    }
    if (raw_now_ns() - began > PATIENCE_NS) return false;
    raw_yield();
  }
}

unsigned page_faults(struct fault *into) {
  uint64_t now = raw_now_ns();
  unsigned n, kept = 0;
  if (!ctl || !__atomic_load_n(&ctl->armed, __ATOMIC_ACQUIRE) || !alive(now)) return 0;
  if (!copy_consistent(into, &n, now)) return 0;
  for (unsigned i = 0; i < n; i++)
    if (!expired(&into[i].slot, now)) into[kept++] = into[i];
  return kept;
}

bool page_in_force(const struct fault *fault) {
  struct fault now[OFFBUS_SLOTS];
  unsigned n = page_faults(now);
  for (unsigned i = 0; i < n; i++)
    if (now[i].index == fault->index && now[i].slot.generation == fault->slot.generation) return true;
  return false;
}

void page_ring(void) {
  uint32_t rings = page_events->doorbell + 1;
  int fd = raw_open(events_path, O_WRONLY);
  if (fd < 0) return;
  raw_pwrite(fd, &rings, sizeof rings, offsetof(struct offbus_events, doorbell));
  raw_close(fd);
}
