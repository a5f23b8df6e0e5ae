/* Gets around an interposed dlsym as other interposers do (dlvsym for dlsym, dlsym from libc's handle), and looks
 * cuInit up with what it found. Prints whether each result is the shim's own cuInit. */
#include <dlfcn.h>
#include <stdio.h>

typedef void *(*lookup)(void *, const char *);

int main(void) {
  void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *libc = dlopen("libc.so.6", RTLD_NOW);
  void *ours = dlsym(RTLD_DEFAULT, "cuInit");
  void *oldest = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  if (!oldest) oldest = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
  lookup versioned = (lookup)oldest, handled = (lookup)dlsym(libc, "dlsym");
  printf("%d %d %d\n", ours != NULL, versioned && versioned(cuda, "cuInit") == ours,
         handled && handled(cuda, "cuInit") == ours);
  return 0;
}
