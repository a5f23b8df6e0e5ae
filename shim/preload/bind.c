/* Binds each thunk to its real function.
 *
 * The real libraries are found among the loaded objects (real_preload.c, real_proxy.c), and with them other
 * interposers that stand between us and them; every listed function that they export is entered in `offbus_real` and
 * in a map from address to index. Pointers are then replaced by value: of 11,713
 * pointers that cuGetProcAddress_v2 of driver 550 returns, every one is the address of an export (docs/shim.md).
 */
#include "shim.h"

enum { MAP_SIZE = 8192, MAP_FULL = 6000, OBJECTS = 4 };

static const char *const prefixes[LIBRARIES] = {"cu", "nvml"};

/* The objects of a library in load order: interposers in front of it, and the library itself. */
struct objects {
  unsigned n;
  struct elf object[OBJECTS];
  bool real[OBJECTS];
};

static uint32_t lock;
static struct objects known[LIBRARIES];
static struct {
  void *real;
  uint32_t index;
} map[MAP_SIZE];
static unsigned map_used;

static unsigned map_slot(const void *real) {
  unsigned at = (unsigned)(((uintptr_t)real >> 4) * 2654435761u) % MAP_SIZE;
  while (map[at].real && map[at].real != real) at = (at + 1) % MAP_SIZE;
  return at;
}

static void map_add(uint32_t index, void *real) {
  unsigned at = map_slot(real);
  if (!map[at].real) map_used++;
  map[at].real = real;
  map[at].index = index;
}

static void set_real(uint32_t index, void *real) {
  __atomic_store_n(&offbus_real[index], real, __ATOMIC_RELEASE);
  map_add(index, real);
}

static void map_rebuild(void) {
  for (unsigned i = 0; i < MAP_SIZE; i++) map[i].real = NULL;
  map_used = 0;
  for (uint32_t i = 0; i < FUNCTIONS; i++)
    if (offbus_real[i]) map_add(i, offbus_real[i]);
}

/* Adopted functions of closed libraries leave their addresses in the map, until it fills up. */
static void map_tidy(void) {
  if (map_used >= MAP_FULL) map_rebuild();
}

static bool stands_in_front(unsigned which, const struct elf *object) {
  return object->in_front && elf_symbol(object, which == LIBRARY_CUDA ? "cuInit" : "nvmlInit_v2");
}

static bool note_library(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct objects *found = data;
  for (unsigned i = 0; i < LIBRARIES; i++) {
    struct objects *of = &found[i];
    bool real = real_is(i, object, file);
    bool complete = of->n == OBJECTS || (of->n && of->real[of->n - 1]);
    if (!nth || complete || (!real && !stands_in_front(i, object))) continue;
    of->real[of->n] = real;
    of->object[of->n++] = *object;
  }
  return false;
}

static void *first_definition(const struct objects *of, uint32_t index) {
  for (unsigned i = 0; i < of->n; i++) {
    void *real = elf_symbol(&of->object[i], offbus_functions[index].name);
    if (real) return real;
  }
  return NULL;
}

/* The first definition is called; the address of a later one is replaced by the same thunk. */
static void bind_library(unsigned which) {
  const struct objects *of = &known[which];
  map_tidy();
  for (uint32_t i = 0; i < FUNCTIONS; i++) {
    if (!text_starts(offbus_functions[i].name, prefixes[which])) continue;
    void *real = first_definition(of, i), *last = elf_symbol(&of->object[of->n - 1], offbus_functions[i].name);
    if (real) set_real(i, real);
    if (last) map_add(i, last);
  }
}

/* Another library may have been loaded where one was closed. */
static bool same_object(const struct elf *a, const struct elf *b) {
  return a->base == b->base && a->end == b->end && a->symbols == b->symbols && a->strings == b->strings &&
         a->gnu_hash == b->gnu_hash && a->sysv_hash == b->sysv_hash;
}

static bool same(const struct objects *a, const struct objects *b) {
  bool equal = a->n == b->n;
  for (unsigned i = 0; equal && i < a->n; i++) equal = same_object(&a->object[i], &b->object[i]);
  return equal;
}

static bool lies_in(const struct objects *of, const void *address) {
  bool inside = false;
  for (unsigned i = 0; i < of->n; i++)
    inside |= (uintptr_t)address >= of->object[i].base && (uintptr_t)address < of->object[i].end;
  return inside;
}

/* Removes what is no longer loaded. Call with the lock held. */
static void forget(unsigned which) {
  for (uint32_t i = 0; i < FUNCTIONS; i++)
    if (lies_in(&known[which], offbus_real[i])) __atomic_store_n(&offbus_real[i], NULL, __ATOMIC_RELEASE);
  known[which].n = 0;
  map_rebuild();
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (known[i].n) bind_library(i);
}

/* Calls of a linked program go through the interposers behind us, as they would without us; a driver that was opened
 * later is called directly, as dlsym of its handle would return it. */
static void leave_out_interposers(struct objects *of) {
  if (!of->n || of->object[of->n - 1].in_front) return;
  of->object[0] = of->object[of->n - 1];
  of->real[0] = of->real[of->n - 1];
  of->n = 1;
}

/* The loader's lock is never taken while ours is held. */
static void bind_libraries(void) {
  struct objects found[LIBRARIES];
  for (unsigned i = 0; i < LIBRARIES; i++) found[i].n = 0;
  real_load();
  elf_each(note_library, found);
  for (unsigned i = 0; i < LIBRARIES; i++) leave_out_interposers(&found[i]);
  bool bound_any = false;
  uint64_t mask = lock_take(&lock);
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (known[i].n && !same(&found[i], &known[i])) forget(i);
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (found[i].n && found[i].real[found[i].n - 1] && !same(&found[i], &known[i])) {
      known[i] = found[i];
      bind_library(i);
      bound_any = true;
    }
  lock_give(&lock, mask);
  if (bound_any) complaint_say();
}

void bind_anew_if_closed(void) {
  static uint64_t seen;
  uint64_t closed = elf_closed();
  if (__atomic_exchange_n(&seen, closed, __ATOMIC_RELAXED) != closed) bind_libraries();
}

struct caller {
  uint64_t address;
  bool interposes[LIBRARIES], bound_through[LIBRARIES];
};

static bool note_caller(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct caller *caller = data;
  bool is_it = nth && caller->address >= object->base && caller->address < object->end;
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (real_is(i, object, file)) caller->bound_through[i] |= object->in_front;
    else if (is_it) caller->interposes[i] = stands_in_front(i, object);
  return false;
}

bool is_interposer(uint64_t address) {
  struct caller caller = {.address = address};
  bool found = false;
  elf_each(note_caller, &caller);
  for (unsigned i = 0; i < LIBRARIES; i++) found |= caller.interposes[i] && caller.bound_through[i];
  return found;
}

static void *mapped_entry(void *real) {
  uint64_t mask = lock_take(&lock);
  unsigned at = map_slot(real);
  void *entry = map[at].real ? offbus_functions[map[at].index].entry : NULL;
  lock_give(&lock, mask);
  return entry;
}

int function_index(const char *name) {
  int low = 0, high = FUNCTIONS - 1;
  while (low <= high) {
    int middle = (low + high) / 2;
    const char *a = name, *b = offbus_functions[middle].name;
    while (*a && *a == *b) a++, b++;
    if (*a == *b) return middle;
    if ((unsigned char)*a < (unsigned char)*b) high = middle - 1;
    else low = middle + 1;
  }
  return -1;
}

void *bound(uint32_t index) {
  void *real = __atomic_load_n(&offbus_real[index], __ATOMIC_ACQUIRE);
  if (real) return real;
  bind_libraries();
  return __atomic_load_n(&offbus_real[index], __ATOMIC_ACQUIRE);
}

void *entry_for(void *real) {
  void *entry = mapped_entry(real);
  if (entry) return entry;
  bind_libraries();
  return mapped_entry(real);
}

void *adopt(uint32_t index, void *real) {
  void *entry = entry_for(real);
  if (entry) return entry;
  uint64_t mask = lock_take(&lock);
  bool ours = !offbus_real[index];
  if (ours) set_real(index, real);
  lock_give(&lock, mask);
  return ours ? offbus_functions[index].entry : real;
}
