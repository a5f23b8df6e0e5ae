/* A signal handler that calls the driver, again and again, in the middle of driver calls; one line when a hundred
 * handlers have run: the sum of their codes that were none of 0 and 719. */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/time.h>

static int (*synchronize)(void);
static atomic_int handled, wrong;

static int check(int code) { return code == 0 || code == 719 ? 0 : code; }

/* The last one stops the timer: on a busy machine a handler may take longer than its interval, and nothing else runs. */
static void handle(int number) {
  (void)number;
  wrong += check(synchronize());
  if (++handled == 100) setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

int main(void) {
  void *context, *library = dlopen("libcuda.so.1", RTLD_NOW);
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
  int (*retain)(void **, int) = (int (*)(void **, int))dlsym(library, "cuDevicePrimaryCtxRetain");
  int (*use)(void *) = (int (*)(void *))dlsym(library, "cuCtxSetCurrent");
  struct itimerval often = {{0, 200}, {0, 200}};
  struct sigaction action = {.sa_handler = handle};
  synchronize = (int (*)(void))dlsym(library, "cuCtxSynchronize");
  if (init(0) || retain(&context, 0) || use(context)) return 1;
  puts("ready");
  fflush(stdout);
  while (getchar() != '\n') continue;
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &often, NULL);
  while (handled < 100) wrong += check(synchronize());
  printf("%d\n", wrong);
  return 0;
}
