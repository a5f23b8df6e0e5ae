/* The ways by which programs look up driver functions: dlsym, dlvsym, dlopen, cuGetProcAddress.
 *
 * A lookup that is not ours jumps to the real function with the caller's return address still on the stack, because
 * glibc resolves RTLD_NEXT and RTLD_DEFAULT by it. A listed name is looked up by the real function first: a process
 * without the real library gets NULL, as without the shim.
 */
#include <dlfcn.h>

#include "shim.h"

/* Where a call came from (slow.S). */
static uint64_t caller_of(const uint64_t *args) {
#if defined(__x86_64__)
  return args[7];
#else
  return args[-1];
#endif
}

static struct {
  void *found;
  bool in_libc;
} behind_us[3];

/* The next definition never changes, except for a caller that is itself the next one; mostly it is libc's. */
static void *next(uint32_t which, uint64_t caller) {
  static const char *const names[] = {"dlsym", "dlvsym", "dlopen"};
  uint32_t i = which - FN_dlsym;
  void *found = __atomic_load_n(&behind_us[i].found, __ATOMIC_ACQUIRE);
  if (!found) {
    found = elf_next(names[i], 0);
    behind_us[i].in_libc = is_libc_address((uint64_t)found);
    __atomic_store_n(&behind_us[i].found, found, __ATOMIC_RELEASE);
  }
  if (behind_us[i].in_libc || !is_same_object(caller, (uint64_t)found)) return found;
  void *behind = elf_next(names[i], caller);
  return behind ? behind : found;
}

/* dlsym and dlvsym; the former does not look at the version. */
typedef void *(*lookup_function)(void *, const char *, const char *);

/* Our own entry of dlsym and its kin, for a program that looks them up to bypass us. */
static void *own_entry(const char *name) {
  if (name[0] != 'd' || name[1] != 'l') return NULL;
  if (text_equal(name, "dlsym")) return entry_dlsym;
  if (text_equal(name, "dlvsym")) return entry_dlvsym;
  return text_equal(name, "dlopen") ? entry_dlopen : NULL;
}

static int listed(const char *name) {
  return name && (text_starts(name, "cu") || text_starts(name, "nvml")) ? function_index(name) : -1;
}

/* A process without the real library must not find ours instead. The real function's result for a lookup behind us is
 * the one without us: nothing, with dlerror's text, or another interposer's. */
static bool stands_for_nothing(int index) { return index >= 0 && !bound((uint32_t)index); }

/* Whether a lookup is answered here, or passed to the real function unchanged: another interposer looks up what is
 * behind it, which is the real one. */
static bool is_ours(int index, const uint64_t *args) {
  if (index < 0) return false;
  if ((void *)args[0] == RTLD_NEXT) return stands_for_nothing(index);
  return !is_interposer(caller_of(args));
}

static struct verdict hook_lookup(uint32_t which, const uint64_t *args) {
  const char *name = (const char *)args[1], *version = (const char *)args[2];
  lookup_function real = (lookup_function)next(which, caller_of(args));
  if (name && own_entry(name) && !is_interposer(caller_of(args))) return answer((uint64_t)own_entry(name));
  int index = real ? listed(name) : -1;
  if (index >= 0) bind_anew_if_closed();
  if (!is_ours(index, args)) return jump_to(real);
  void *found = real((void *)args[0], name, version);
  if (!found) return answer(0);
  if (found != offbus_functions[index].entry) return answer((uint64_t)adopt((uint32_t)index, found));
  if (!stands_for_nothing(index)) return answer((uint64_t)found);
  return answer((uint64_t)real(RTLD_NEXT, name, version));
}

/* A library opened with RTLD_DEEPBIND would find libcuda's own symbols, and dlsym, before ours. That is allowed only
 * where nothing can be armed. */
static struct verdict hook_dlopen(uint64_t *args) {
#ifdef RTLD_DEEPBIND
  if (page_exists()) args[1] &= ~(uint64_t)RTLD_DEEPBIND;
#endif
  return jump_to(next(FN_dlopen, caller_of(args)));
}

struct verdict dl_hook(uint32_t index, uint64_t *args) {
  if (index == FN_dlopen) return hook_dlopen(args);
  return hook_lookup(index, args);
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
