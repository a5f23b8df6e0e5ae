/* A program without the real libraries: what lookups and direct calls answer. */
#include <dlfcn.h>
#include <stdio.h>

extern int cuInit(unsigned) __attribute__((weak));
extern int nvmlInit_v2(void) __attribute__((weak));

int main(void) {
  dlerror();
  void *found = dlsym(RTLD_DEFAULT, "cuInit");
  const char *error = dlerror();
  printf("%s %s\n", found ? "found" : "null", error ? "error" : "silent");
  printf("%d %d\n", cuInit ? cuInit(0) : -1, nvmlInit_v2 ? nvmlInit_v2() : -1);
  printf("%d\n", dlsym(RTLD_NEXT, "malloc") == dlsym(RTLD_DEFAULT, "malloc"));
  return 0;
}
