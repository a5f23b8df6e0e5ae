/* A library that uses the driver in its constructor, before main and perhaps before the shim's own constructor. */
#include <dlfcn.h>
#include <stdio.h>

__attribute__((constructor)) static void begin(void) {
  int count = -1;
  void *library = dlopen("libcuda.so.1", RTLD_NOW);
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
  int (*devices)(int *) = (int (*)(int *))dlsym(library, "cuDeviceGetCount");
  int code = init(0), counted = devices(&count);
  dprintf(1, "early %d %d %d\n", code, counted, count);
}
