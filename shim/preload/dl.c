/* The ways by which programs get at driver functions: dlsym, dlvsym, dlopen, cuGetProcAddress.
 *
 * Whatever is not ours is jumped to with the caller's return address still on the stack, because glibc resolves
 * RTLD_NEXT and RTLD_DEFAULT by it. A listed name is looked up by the real function first: a process without the
 * real library gets NULL, as without the shim.
 */
#include <dlfcn.h>

#include "shim.h"

static void *cached_next(void **cache, const char *name) {
  void *found = __atomic_load_n(cache, __ATOMIC_ACQUIRE);
  if (found) return found;
  found = elf_next(name);
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

/* Where the call came from (slow.S). */
static uint64_t caller(const uint64_t *args) {
#if defined(__x86_64__)
  return args[7];
#else
  return args[-1];
#endif
}

/* Another interposer behind us looks for what it stands in front of: that is the real one, not us. */
static bool is_ours_to_answer(const uint64_t *args, const char *name) {
  if (!name || (void *)args[0] == RTLD_NEXT) return false;
  return !is_interposer(caller(args));
}

static int listed(const char *name) {
  return text_starts(name, "cu") || text_starts(name, "nvml") ? function_index(name) : -1;
}

static struct verdict hook_dlsym(const uint64_t *args) {
  const char *name = (const char *)args[1];
  if (name && own_entry(name) && !is_interposer(caller(args))) return answer((uint64_t)own_entry(name));
  int index = is_ours_to_answer(args, name) ? listed(name) : -1;
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
  void *real = cached_next(&cache, "dlvsym");
  if (name && own_entry(name) && !is_interposer(caller(args))) return answer((uint64_t)own_entry(name));
  int index = is_ours_to_answer(args, name) ? listed(name) : -1;
  if (index < 0 || !real) return jump_to(real);
  void *found = ((void *(*)(void *, const char *, const char *))real)((void *)args[0], name, (const char *)args[2]);
  if (!found || found == offbus_functions[index].entry) return answer((uint64_t)found);
  return answer((uint64_t)adopt((uint32_t)index, found));
}

/* A library opened with RTLD_DEEPBIND would find libcuda's own symbols, and dlsym, before ours. */
static struct verdict hook_dlopen(uint64_t *args) {
  static void *cache;
#ifdef RTLD_DEEPBIND
  args[1] &= ~(uint64_t)RTLD_DEEPBIND;
#endif
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
