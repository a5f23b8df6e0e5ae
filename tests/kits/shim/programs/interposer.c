/* Another tool's preload object: counts allocations and prints the count at the end. FROM_NEXT finds the real function
 * with RTLD_NEXT; otherwise it takes dlsym out of the way itself, interposes it, and asks the library's own handle. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef int (*allocate)(uint64_t *, size_t);
typedef void *(*lookup)(void *, const char *);

static int calls;

int cuMemAlloc_v2(uint64_t *into, size_t size);
int cuInit(unsigned flags);

#ifdef FROM_NEXT
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }
#else
static lookup next_dlsym(void) {
  void *found = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  if (!found) found = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
  return (lookup)found;
}

static void *real(const char *name) { return next_dlsym()(dlopen("libcuda.so.1", RTLD_NOW), name); }

void *dlsym(void *restrict handle, const char *restrict name) {
  if (!strcmp(name, "cuMemAlloc_v2")) return (void *)cuMemAlloc_v2;
  if (!strcmp(name, "cuInit")) return (void *)cuInit;
  return next_dlsym()(handle, name);
}
#endif

int cuMemAlloc_v2(uint64_t *into, size_t size) {
  calls++;
  return ((allocate)real("cuMemAlloc_v2"))(into, size);
}

int cuInit(unsigned flags) { return ((int (*)(unsigned))real("cuInit"))(flags); }

__attribute__((destructor)) static void report(void) { fprintf(stderr, "interposer: %d\n", calls); }
