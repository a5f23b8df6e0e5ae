/* The two files in a process: found at start, `ctl` mapped for reading, `events` opened for each write.
 *
 * They are in OFFBUS_PAGE_DIR; a proxy, and an object that /etc/ld.so.preload names, also looks in the folder above its
 * own, as the agent installs them: their processes may have no variables (`env -i`, setuid). Without either the shim is
 * silent and idle. With any problem in them the process runs as without the shim; if it uses CUDA or NVML, one line on
 * stderr says why.
 */
#include "raw.h"
#include "shim.h"

enum { PATH_SIZE = 1024, PATIENCE_NS = 100000000 };

static const uint32_t never = 0, always = 1;
static const struct offbus_ctl *ctl;
static uint64_t boot_id_hash;
static char events_path[PATH_SIZE + 16];
static bool events_good;

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

static void check_events(void) {
  const char *why;
  struct {
    uint32_t doorbell, magic;
    uint16_t abi_major, abi_minor;
    uint32_t size;
  } head = {0};
  int fd = open_file(events_path, OFFBUS_EVENTS_SIZE, O_RDWR, &why);
  if (fd >= 0) {
    long got = raw_pread(fd, &head, sizeof head, 0);
    events_good = got == (long)sizeof head && head.magic == OFFBUS_EVENTS_MAGIC &&
                  head.abi_major == OFFBUS_ABI_MAJOR && head.size == OFFBUS_EVENTS_SIZE;
    why = "is not an events page of this version";
    raw_close(fd);
  }
  if (!events_good) complaint_add(events_path, why);
}

/* Opened each time: a program may close any unknown descriptor, and its number may be reused. */
int page_open_events(void) { return events_good ? raw_open(events_path, O_RDWR | O_NONBLOCK | O_NOFOLLOW) : -1; }

bool page_exists(void) { return ctl != NULL; }

static bool has_page(const char *folder) {
  char path[PATH_SIZE + 16];
  path_join(path, sizeof path, folder, "/ctl");
  int fd = raw_open(path, O_RDONLY | O_NONBLOCK);
  if (fd >= 0) raw_close(fd);
  return fd >= 0;
}

/* False when no page is configured. A program that loads us by a variable would set the folder by another. */
static bool find_folder(char *folder) {
  environment_read("OFFBUS_PAGE_DIR", folder, PATH_SIZE);
  if (folder[0]) return true;
  environment_read("LD_PRELOAD", folder, PATH_SIZE);
  if (folder[0] && !build_kind) return false;
  own_folder(folder, PATH_SIZE - 4);
  if (!folder[0]) return false;
  path_join(folder + text_length(folder), 4, "..", "");
  return has_page(folder);
}

void page_start(void) {
  char folder[PATH_SIZE], ctl_path[PATH_SIZE + 16];
  ctl = NULL, events_good = false;
  line_start();
  page_follow();
  if (!find_folder(folder)) return;
  path_join(ctl_path, sizeof ctl_path, folder, "/ctl");
  path_join(events_path, sizeof events_path, folder, "/events");
  open_ctl(ctl_path);
  if (ctl) check_events();
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
