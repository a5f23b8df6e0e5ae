/* A process whose threads are in the stand-in driver all the time, and which forks and gets signals meanwhile. Each
 * child calls both libraries: neither may wait for a lock that a thread held which the child does not have. One line at
 * the end: the number of children and handlers that were wrong. A child that hangs dies with its parent. */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pthread.h>

int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemFree_v2(uint64_t);
int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *);

enum { THREADS = 2, CHILDREN = 400, NOT_INITIALIZED = 3, GPUS = 2 };
static atomic_bool over;
static atomic_int wrong;

static void *compute(void *unused) {
  void *context;
  uint64_t memory;
  (void)unused;
  if (cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context)) wrong++;
  while (!atomic_load(&over))
    if (cuMemAlloc_v2(&memory, 64) || cuMemFree_v2(memory)) wrong++;
  return NULL;
}

static void *monitor(void *unused) {
  (void)unused;
  while (!atomic_load(&over))
    if (nvmlInit_v2() || nvmlShutdown()) wrong++;
  return NULL;
}

/* CUDA does not survive a fork; NVML here does. */
static int child(void) {
  unsigned count = 0;
  if (cuInit(0) != NOT_INITIALIZED) return 1;
  if (nvmlInit_v2() || nvmlDeviceGetCount_v2(&count) || count != GPUS) return 2;
  return 0;
}

static void handle(int number) {
  unsigned count = 0;
  (void)number;
  if (nvmlInit_v2() || nvmlDeviceGetCount_v2(&count) || count != GPUS || nvmlShutdown()) wrong++;
}

static void fork_often(void) {
  for (int n = 0, status; n < CHILDREN; n++) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(getppid() == parent ? child() : 3);
    }
    while (waitpid(pid, &status, 0) != pid) continue;
    wrong += status != 0;
  }
}

int main(void) {
  pthread_t threads[2 * THREADS];
  struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  if (cuInit(0) || nvmlInit_v2()) return 1;
  for (int i = 0; i < 2 * THREADS; i++) pthread_create(&threads[i], NULL, i % 2 ? monitor : compute, NULL);
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &often, NULL);
  fork_often();
  setitimer(ITIMER_REAL, &never, NULL);
  atomic_store(&over, true);
  for (int i = 0; i < 2 * THREADS; i++) pthread_join(threads[i], NULL);
  printf("%d\n", wrong);
  return 0;
}
