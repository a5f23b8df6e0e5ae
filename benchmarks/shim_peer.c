/* How the tooling that offbus replaces looks for its fault: a preload object that opens a marker file in every call
 * and goes on when it is not there. */
#include <dlfcn.h>
#include <stdio.h>

static int armed(void) {
  char code[16] = "";
  FILE *marker = fopen("/tmp/offbus-bench-no-such-marker", "r");
  if (!marker) return 0;
  if (!fgets(code, sizeof code, marker)) code[0] = 0;
  fclose(marker);
  return code[0] == '1';
}

int cuDriverGetVersion(int *version) {
  static int (*real)(int *);
  if (armed()) return 719;
  if (!real) real = (int (*)(int *))dlsym(RTLD_NEXT, "cuDriverGetVersion");
  return real(version);
}

int cuCtxSynchronize(void) {
  static int (*real)(void);
  if (armed()) return 719;
  if (!real) real = (int (*)(void))dlsym(RTLD_NEXT, "cuCtxSynchronize");
  return real();
}
