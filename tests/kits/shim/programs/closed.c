/* Opens one driver, asks it, closes it, and opens another where it lay: whose answers come, and what is found then. */
#include <dlfcn.h>
#include <stdio.h>

static int ask(void *library, const char *name) {
  int (*function)(void) = (int (*)(void))dlsym(library, name);
  return function ? function() : -1;
}

int main(int count, char **paths) {
  if (count != 3) return 2;
  for (int i = 1; i < 3; i++) {
    void *library = dlopen(paths[i], RTLD_NOW | RTLD_GLOBAL);
    if (!library) return 1;
    printf("%d %d\n", ask(library, "cuCtxSynchronize"), ask(library, "cuStreamQuery"));
    dlclose(library);
    printf("%s %s\n", dlsym(RTLD_DEFAULT, "cuCtxSynchronize") ? "found" : "null",
           dlsym(RTLD_NEXT, "cuCtxSynchronize") ? "found" : "null");
  }
  return 0;
}
