/* The ways by which programs get at driver functions: dlsym, dlvsym, dlopen, cuGetProcAddress.
 *
 * Whatever is not ours is jumped to with the caller's return address still on the stack, because glibc resolves
 * RTLD_NEXT and RTLD_DEFAULT by it. A listed name is looked up by the real function first: a process without the
 * real library gets NULL, as without the shim.
 */
#include <dlfcn.h>

#include "shim.h"

struct sought {
  const char *name;
  void *found;
};

/* The next object that defines it, another interposer included; never the main program, nor libcuda's neighbours
 * that merely re-export it. */
static bool note_definition(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct sought *sought = data;
  (void)file;
  if (nth > 0) sought->found = elf_symbol(object, sought->name);
  return sought->found != NULL;
}

static void *next_definition(const char *name) {
  struct sought sought = {name, NULL};
  elf_each(note_definition, &sought);
  return sought.found;
}

static void *cached_next(void **cache, const char *name) {
  void *found = __atomic_load_n(cache, __ATOMIC_ACQUIRE);
  if (found) return found;
  found = next_definition(name);
  __atomic_store_n(cache, found, __ATOMIC_RELEASE);
  return found;
}

static void *real_dlsym(void) {
  static void *cache;
  return cached_next(&cache, "dlsym");
}

static void *look_up(uint64_t handle, const char *name) {
  void *(*real)(void *, const char *) = (void *(*)(void *, const char *))real_dlsym();
  return real ? real((void *)handle, name) : NULL;
}

/* Our own entry of dlsym and its kin, when somebody looks them up to get around us. */
static void *own_entry(const char *name) {
  if (name[0] != 'd' || name[1] != 'l') return NULL;
  if (text_equal(name, "dlsym")) return entry_dlsym;
  if (text_equal(name, "dlvsym")) return entry_dlvsym;
  return text_equal(name, "dlopen") ? entry_dlopen : NULL;
}

static struct verdict hook_dlsym(const uint64_t *args) {
  const char *name = (const char *)args[1];
  bool next = (void *)args[0] == RTLD_NEXT;
  int index = -1;
  if (name && !next) {
    if (own_entry(name)) return answer((uint64_t)own_entry(name));
    if (text_starts(name, "cu") || text_starts(name, "nvml")) index = function_index(name);
  }
  if (index < 0) return jump_to(real_dlsym());
  void *found = look_up(args[0], name);
  if (!found) return answer(0);
  if (found != offbus_functions[index].entry) return answer((uint64_t)adopt((uint32_t)index, found));
  if (bound((uint32_t)index)) return answer((uint64_t)found);
  return answer((uint64_t)look_up((uint64_t)RTLD_NEXT, name)); /* NULL, with dlerror's text */
}

static struct verdict hook_dlvsym(const uint64_t *args) {
  static void *cache;
  const char *name = (const char *)args[1];
  if (name && own_entry(name)) return answer((uint64_t)own_entry(name));
  return jump_to(cached_next(&cache, "dlvsym"));
}

/* A library opened with RTLD_DEEPBIND would find libcuda's own symbols, and dlsym, before ours. */
static struct verdict hook_dlopen(uint64_t *args) {
  static void *cache;
  args[1] &= ~(uint64_t)RTLD_DEEPBIND;
  return jump_to(cached_next(&cache, "dlopen"));
}

struct verdict dl_hook(uint32_t index, uint64_t *args) {
  if (index == FN_dlopen) return hook_dlopen(args);
  return index == FN_dlsym ? hook_dlsym(args) : hook_dlvsym(args);
}

struct verdict get_proc_address(uint32_t index, const uint64_t *args) {
  uint64_t code = call_real(bound(index), args);
  void **into = (void **)args[1];
  if ((uint32_t)code == 0 && into && *into) {
    void *entry = entry_for(*into);
    if (entry) *into = entry;
  }
  return answer(code);
}
