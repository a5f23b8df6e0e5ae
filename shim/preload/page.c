/* The two files in a process: `ctl` is found at start and mapped for reading, `events` is opened for each write.
 *
 * `ctl` is in OFFBUS_PAGE_DIR, `events` in OFFBUS_EVENTS_DIR, and without that variable beside `ctl`. A proxy, and an
 * object that /etc/ld.so.preload names, also looks beside its own folder, in `page` and `events`, as a pod has them
 * mounted: their processes may have no variables (`env -i`, setuid). Without `ctl` the shim is silent and idle. With
 * any problem in it the process runs as without the shim; if it uses CUDA or NVML, one line on stderr says why.
 * `events` is made by the agent once the pod's folder exists, which may be after the process has started: it is
 * checked when something is to be written, and what cannot be written is not recorded.
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

void page_keep_armed(void) { __atomic_store_n(&offbus_word, &always, __ATOMIC_RELEASE); }

/* An exchange, so that the caller sees everything before the page_keep_armed() of another thread that it undoes. */
void page_follow(void) { (void)__atomic_exchange_n(&offbus_word, ctl ? &ctl->armed : &never, __ATOMIC_ACQ_REL); }

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

/* A descriptor of a regular file of this size; negative = none, and `why`. */
static int open_file(const char *path, size_t size, int flags, const char **why) {
  int fd = raw_open(path, flags | O_NONBLOCK);
  *why = "cannot be opened";
  if (fd < 0) return fd;
  *why = "has another size: not a page of this version";
  if (raw_size(fd) == (long)size) return fd;
  raw_close(fd);
  return -1;
}

static void open_ctl(const char *path) {
  const char *why;
  int fd = open_file(path, OFFBUS_CTL_SIZE, O_RDONLY, &why);
  const struct offbus_ctl *page = NULL;
  if (fd >= 0) {
    page = raw_map(fd, OFFBUS_CTL_SIZE, PROT_READ);
    why = "cannot be mapped";
    raw_close(fd);
  }
  if (page && (page->magic != OFFBUS_CTL_MAGIC || page->abi_major != OFFBUS_ABI_MAJOR || page->size != OFFBUS_CTL_SIZE))
    page = NULL, why = "is not a control page of this version";
  if (!page) {
    complaint_add(path, why);
    return;
  }
  ctl = page;
  boot_id_hash = hash_boot_id();
  page_follow();
}

/* Whether an open file is one of events. */
static bool is_events(int fd) {
  struct {
    uint32_t doorbell, magic;
    uint16_t abi_major, abi_minor;
    uint32_t size;
  } head = {0};
  return raw_pread(fd, &head, sizeof head, 0) == (long)sizeof head && head.magic == OFFBUS_EVENTS_MAGIC &&
         head.abi_major == OFFBUS_ABI_MAJOR && head.size == OFFBUS_EVENTS_SIZE;
}

/* Opened each time: a program may close any unknown descriptor, and its number may be reused. */
int page_open_events(bool complain) {
  const char *why;
  int fd = open_file(events_path, OFFBUS_EVENTS_SIZE, O_RDWR | O_NOFOLLOW, &why);
  if (fd >= 0 && is_events(fd)) return fd;
  if (fd >= 0) raw_close(fd), why = "is not an events file of this version";
  if (complain) {
    struct line line = {0};
    line_add(&line, "offbus: the next fault is not recorded: ");
    line_add(&line, events_path);
    line_add(&line, " ");
    line_add(&line, why);
    line_say(&line);
  }
  return -1;
}

bool page_exists(void) { return ctl != NULL; }

static bool is_file(const char *path) {
  int fd = raw_open(path, O_RDONLY | O_NONBLOCK);
  if (fd >= 0) raw_close(fd);
  return fd >= 0;
}

/* False when no page is configured. A program that loads us by a variable would set the folders by others. */
static bool find_files(char *ctl_path) {
  char folder[PATH_SIZE];
  environment_read("OFFBUS_PAGE_DIR", folder, sizeof folder);
  path_join(ctl_path, PATH_SIZE + 16, folder, "/ctl");
  path_join(events_path, sizeof events_path, folder, "/events");
  if (folder[0]) {
    environment_read("OFFBUS_EVENTS_DIR", folder, sizeof folder);
    if (folder[0]) path_join(events_path, sizeof events_path, folder, "/events");
    return true;
  }
  environment_read("LD_PRELOAD", folder, sizeof folder);
  if (folder[0] && !build_kind) return false;
  own_folder(folder, sizeof folder);
  path_join(ctl_path, PATH_SIZE + 16, folder, "../page/ctl");
  path_join(events_path, sizeof events_path, folder, "../events/events");
  return folder[0] && is_file(ctl_path);
}

void page_start(void) {
  char ctl_path[PATH_SIZE + 16];
  ctl = NULL, events_path[0] = 0;
  line_start();
  page_follow();
  if (find_files(ctl_path)) open_ctl(ctl_path);
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
    if (into[n].slot.mode > OFFBUS_MODE_LOST) continue; /* of a newer agent: unknown here */
    into[n++].index = i;
  }
  return n;
}

/* A sequence number that stays odd means that the writer died during a change: then nothing is in force until an agent
 * fixes the page. The timeout is spent once, not at every call. */
static bool copy_consistent(struct fault *into, unsigned *n, uint64_t began) {
  static uint32_t given_up_on;
  for (;;) {
    uint32_t before = __atomic_load_n(&ctl->seq, __ATOMIC_ACQUIRE);
    if (!(before & 1u)) {
      *n = copy_enabled(into);
      __atomic_thread_fence(__ATOMIC_ACQUIRE);
      if (__atomic_load_n(&ctl->seq, __ATOMIC_RELAXED) == before) return true;
    } else if (before == __atomic_load_n(&given_up_on, __ATOMIC_RELAXED)) {
      return false;
    }
    if (raw_now_ns() - began > PATIENCE_NS) {
      __atomic_store_n(&given_up_on, before, __ATOMIC_RELAXED);
      return false;
    }
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
