/* The interfaces between the shim's parts. Everything here is hidden; only functions.def is exported. */
#ifndef OFFBUS_SHIM_H
#define OFFBUS_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "functions.h"
#include "offbus_page.h"
#include "text.h"

/* What to do with a call: jump to `target`, or return `value` when there is none. In two registers. */
struct verdict {
  void *target;
  uint64_t value;
};

static inline struct verdict jump_to(void *target) { return (struct verdict){target, 0}; }
static inline struct verdict answer(uint64_t value) { return (struct verdict){NULL, value}; }

/* A driver function by its argument registers; none that we call takes more or other arguments. */
typedef uint64_t (*real_function)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

static inline uint64_t call_real(void *real, const uint64_t *args) {
  return ((real_function)real)(args[0], args[1], args[2], args[3], args[4], args[5]);
}

/* lock.c: a spin lock for short sections; a forked child takes over a lock that was held at the fork */
uint64_t lock_take(uint32_t *lock); /* returns the mask for lock_give */
void lock_give(uint32_t *lock, uint64_t mask);

/* complaint.c: why this process sees no faults */
void complaint_add(const char *what, const char *why); /* the first one counts */
void complaint_say(void);                              /* once, on stderr */

/* environment.c: the initial environment, and this object's folder */
void environment_read(const char *name, char *value, size_t room); /* "" = not set, or not trusted (setuid) */
void own_folder(char *into, size_t room);                          /* with a slash at the end; "" = not known */
void path_join(char *into, size_t room, const char *folder, const char *file);

/* elf.c: loaded objects, without libdl */
struct elf {
  uintptr_t base, end;
  const char *path;
  bool in_front; /* between us and libc in load order: a program binds to it before the driver */
  bool behind;   /* loaded after us */
  const void *symbols, *gnu_hash, *sysv_hash;
  const char *strings;
  const uint16_t *versions;
};
/* Calls `see` for every loaded object except this one, in load order, until it returns true. */
void elf_each(bool (*see)(const struct elf *object, const char *file_name, unsigned nth, void *data), void *data);
void *elf_symbol(const struct elf *object, const char *name);
uint64_t elf_closed(void); /* how many objects have been unloaded so far; 0 = not known */
/* The next definition after the main program's, ours and that of the object that contains `caller` (0 = none). */
void *elf_next(const char *name, uint64_t caller);
const char *elf_own_path(void);
bool is_same_object(uint64_t one, uint64_t other); /* whether two addresses are in one object */
bool is_libc_address(uint64_t address);

/* bind.c: real functions and their thunks */
int function_index(const char *name); /* -1 = not in the list */
void *bound(uint32_t index);          /* the real function, or null */
void *entry_for(void *real);          /* the thunk for an address of the real library, or null */
void *adopt(uint32_t index, void *real); /* what to return for a function found outside the known libraries */
void bind_anew_if_closed(void);          /* a closed driver's addresses may be reused */
bool is_interposer(uint64_t address);    /* code of another object in front of the real library */

/* real.c: where the real libraries come from; the preload build finds them loaded, a proxy loads its own */
enum { LIBRARY_CUDA, LIBRARY_NVML, LIBRARIES };
bool real_is(unsigned which, const struct elf *object, const char *file_name);
void real_load(void); /* ensures that they are loaded */
extern const uint32_t build_kind; /* distinguishes the rows of a preload object and of proxies in one process */

/* lookup.c: dlsym, dlvsym, dlopen, cuGetProcAddress */
struct verdict dl_hook(uint32_t index, uint64_t *args);
struct verdict get_proc_address(uint32_t index, const uint64_t *args);

/* page.c: the two files */
struct fault {
  unsigned index;
  struct offbus_slot slot;
};
void page_start(void);
/* Copies the faults that are in force now; at most OFFBUS_SLOTS. */
unsigned page_faults(struct fault *into);
bool page_in_force(const struct fault *fault);
/* A descriptor for reading and writing; negative = nothing is recorded, which is said if `complain`. */
int page_open_events(bool complain);
bool page_exists(void);     /* false: nothing will ever be in force here */
void page_keep_armed(void); /* from now on every call takes the slow path, armed or not */
void page_follow(void);     /* undoes page_keep_armed (in a forked child) */

/* gpu.c: which GPU a call is for */
struct gpu {
  bool known, has_uuid, has_pci;
  int ordinal; /* CUDA's; -1 = none (NVML) */
  uint8_t uuid[16], instance_uuid[16];
  uint32_t pci_domain;
  uint8_t pci_bus, pci_device;
};
struct gpu gpu_of(const struct function *f, const uint64_t *args);
struct gpu gpu_cuda(int ordinal);
struct gpu gpu_nvml(uint64_t handle);
bool gpu_matches(const struct offbus_slot *slot, const struct gpu *gpu);

/* process.c: the state of this process */
struct process {
  int pid;
  uint64_t start_ns, pid_namespace;
};
void process_start(void);
bool process_notice(void); /* first in every driver call: true once in a forked child, whose state is then reset */
struct process process_self(void);
bool process_sticky(const struct fault *fault, const struct gpu *gpu);
bool process_stick(const struct fault *fault, const struct gpu *gpu); /* whether it survives the disarm */
uint64_t process_next_call(const struct fault *fault); /* 0 for the first one of the generation */
bool process_any_survives(void);
bool process_survives(const struct gpu *gpu, int32_t *code, bool *lost);
bool process_first_fault(void); /* true once */

/* start.c: the constructor */
void shim_start(void);

/* events.c: what this process reports */
struct situation {
  struct process self;
  struct fault faults[OFFBUS_SLOTS]; /* in force */
  unsigned n;
};
void events_note(const struct fault *fault, const struct function *f, const struct situation *now, bool faulted,
                 const struct gpu *gpu, int32_t code);

/* nvml.c: what NVML reports besides codes */
void nvml_adjust(uint32_t index, const uint64_t *args, const struct gpu *gpu, const struct situation *now);
uint64_t nvml_watch(uint32_t index, void *real, const uint64_t *args);

#endif
