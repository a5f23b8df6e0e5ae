/* Which real function stands behind which thunk.
 *
 * The real libraries are found among the loaded objects by file name; every listed function that they export is
 * entered in `offbus_real` and in a map from address to index. Pointers are then replaced by value: of 11,713
 * pointers that cuGetProcAddress_v2 of driver 550 answers, every one is the address of an export (docs/shim.md).
 */
#include "shim.h"

enum { MAP_SIZE = 8192, MAP_FULL = 6000, LIBRARIES = 2 };

static const struct {
  const char *file, *prefix;
} libraries[LIBRARIES] = {{"libcuda.so", "cu"}, {"libnvidia-ml.so", "nvml"}};

static uint32_t lock;
static uintptr_t bound_base[LIBRARIES];
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

/* Libraries that were closed leave their addresses behind; when these crowd the map only live ones are kept. */
static void map_tidy(void) {
  if (map_used < MAP_FULL) return;
  for (unsigned i = 0; i < MAP_SIZE; i++) map[i].real = NULL;
  map_used = 0;
  for (uint32_t i = 0; i < FUNCTIONS; i++)
    if (offbus_real[i]) map_add(i, offbus_real[i]);
}

struct found {
  struct elf object[LIBRARIES];
};

static bool note_library(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct found *found = data;
  (void)nth;
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (!found->object[i].symbols && text_starts(file, libraries[i].file)) found->object[i] = *object;
  return false;
}

static void bind_library(unsigned which, const struct elf *object) {
  map_tidy();
  for (uint32_t i = 0; i < FUNCTIONS; i++) {
    if (!text_starts(offbus_functions[i].name, libraries[which].prefix)) continue;
    void *real = elf_symbol(object, offbus_functions[i].name);
    if (real) set_real(i, real);
  }
  bound_base[which] = object->base;
}

/* The loader's lock is never taken while ours is held. */
static void bind_libraries(void) {
  struct found found = {0};
  elf_each(note_library, &found);
  lock_take(&lock);
  for (unsigned i = 0; i < LIBRARIES; i++)
    if (found.object[i].symbols && found.object[i].base != bound_base[i]) {
      bind_library(i, &found.object[i]);
      page_speak();
    }
  lock_give(&lock);
}

static void *mapped_entry(void *real) {
  lock_take(&lock);
  unsigned at = map_slot(real);
  void *entry = map[at].real ? offbus_functions[map[at].index].entry : NULL;
  lock_give(&lock);
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
  lock_take(&lock);
  bool ours = !offbus_real[index];
  if (ours) set_real(index, real);
  lock_give(&lock);
  return ours ? offbus_functions[index].entry : real;
}
