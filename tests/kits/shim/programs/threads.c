/* Several threads that use the driver in different ways until the input is closed, with a fork and lookups among them;
 * then the codes that were seen, ascending, in one line. Linked with the shim's core (make core), so that a sanitizer
 * sees all of it; the lookups are the core's own, under their inner names. */
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define DECLARE(name, types) extern int name types;
FUNCTIONS(DECLARE)
int nvmlInit_v2(void);
int nvmlDeviceGetHandleByIndex_v2(unsigned, void **);
int nvmlDeviceGetTemperature(void *, int, unsigned *);
int nvmlDeviceRegisterEvents(void *, unsigned long long, void *);
int nvmlDeviceGetFieldValues(void *, int, void *);
int nvmlEventSetCreate(void **);
int nvmlEventSetWait_v2(void *, void *, unsigned);
void *entry_dlsym(void *, const char *);
void *entry_dlopen(const char *, int);

enum { CODES = 1024 };
static atomic_bool over, seen[CODES];

static int see(int code) {
  if (code >= 0 && code < CODES) atomic_store(&seen[code], true);
  return code;
}

static void *compute(void *device) {
  void *context;
  uint64_t memory;
  /* A fault may meet this call too, and without a context no later call would be of this GPU. */
  while (see(cuDevicePrimaryCtxRetain(&context, *(int *)device)))
    if (atomic_load(&over)) return NULL;
  cuCtxSetCurrent(context);
  while (!atomic_load(&over)) {
    if (!see(cuMemAlloc_v2(&memory, 64))) cuMemFree_v2(memory);
    see(cuCtxSynchronize());
  }
  return NULL;
}

static void *monitor(void *unused) {
  struct {
    void *device;
    unsigned long long type, data;
    unsigned gi, ci;
  } event;
  struct {
    unsigned id, scope;
    long long at, us;
    unsigned type, result;
    unsigned long long value;
  } field = {.id = 230};
  void *device, *set;
  unsigned temperature;
  nvmlEventSetCreate(&set);
  (void)unused;
  while (!atomic_load(&over)) {
    if (see(nvmlDeviceGetHandleByIndex_v2(0, &device))) continue;
    see(nvmlDeviceRegisterEvents(device, 8, set));
    see(nvmlDeviceGetTemperature(device, 0, &temperature));
    see(nvmlDeviceGetFieldValues(device, 1, &field));
    nvmlEventSetWait_v2(set, &event, 1);
  }
  return NULL;
}

static void *look_up(void *unused) {
  (void)unused;
  while (!atomic_load(&over)) {
    void *library = entry_dlopen("libcuda.so.1", RTLD_NOW);
    int (*synchronize)(void) = (int (*)(void))entry_dlsym(library, "cuCtxSynchronize");
    if (synchronize) see(synchronize());
    dlclose(library);
  }
  return NULL;
}

/* Children of a process with threads: locks that others hold at that moment are not theirs to wait for. */
static int children(void) {
  for (int n = 0, status; n < 20; n++) {
    pid_t pid = fork();
    if (pid == 0) _exit(cuCtxSynchronize() < 0);
    if (waitpid(pid, &status, 0) != pid || status) return 1;
  }
  return 0;
}

int main(void) {
  static int devices[] = {0, 1};
  pthread_t threads[5];
  void *(*const work[])(void *) = {compute, compute, compute, monitor, look_up};
  if (cuInit(0) || nvmlInit_v2()) return 1;
  for (int i = 0; i < 5; i++) pthread_create(&threads[i], NULL, work[i], &devices[i & 1]);
  puts("ready");
  fflush(stdout);
  for (int c; (c = getchar()) != EOF && c != '\n';) continue;
  int failed = children();
  atomic_store(&over, true);
  for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
  for (int code = 0; code < CODES; code++)
    if (atomic_load(&seen[code])) printf("%d ", code);
  puts(failed ? "a child failed" : "done");
  return 0;
}
