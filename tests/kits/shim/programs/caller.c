/* Calls cuCtxSynchronize without pause until its input is closed; then prints when a call that was faulted and one that
 * was not began last and first, on CLOCK_BOOTTIME: "first-faulted last-faulted last-good calls". */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec at;
  clock_gettime(CLOCK_BOOTTIME, &at);
  return at.tv_sec * 1000000000ll + at.tv_nsec;
}

int main(void) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW), *context;
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
  int (*retain)(void **, int) = (int (*)(void **, int))dlsym(library, "cuDevicePrimaryCtxRetain");
  int (*use)(void *) = (int (*)(void *))dlsym(library, "cuCtxSetCurrent");
  int (*synchronize)(void) = (int (*)(void))dlsym(library, "cuCtxSynchronize");
  long long first_faulted = 0, last_faulted = 0, last_good = 0, calls = 0;
  struct pollfd input = {0, POLLIN, 0};
  if (init(0) || retain(&context, 0) || use(context)) return 1;
  puts("ready");
  fflush(stdout);
  while (poll(&input, 1, 1) == 0) {
    for (int i = 0; i < 20; i++, calls++) {
      long long began = now();
      if (synchronize()) {
        last_faulted = began;
        if (!first_faulted) first_faulted = began;
      } else {
        last_good = began;
      }
    }
  }
  printf("%lld %lld %lld %lld\n", first_faulted, last_faulted, last_good, calls);
  return 0;
}
