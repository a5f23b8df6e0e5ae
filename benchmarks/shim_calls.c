/* Times one driver call, or program starts, and prints nanoseconds: those of the fastest batch, in which nobody else had
 * the CPU.
 *
 *   shim_calls version|sync N     N calls a batch of cuDriverGetVersion, cuCtxSynchronize
 *   shim_calls count version|sync instructions of one call, by single steps
 *   shim_calls start N PROGRAM    N starts of a program
 *
 * Linked with the driver, as a program that a preload object must interpose by name. */
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 61 };

extern int cuInit(unsigned), cuDriverGetVersion(int *), cuDevicePrimaryCtxRetain(void **, int), cuCtxSetCurrent(void *);
extern int cuCtxSynchronize(void);
extern char **environ;

static int call_version(void) {
  int version;
  return cuDriverGetVersion(&version);
}
static int call_sync(void) { return cuCtxSynchronize(); }

static double now_ns(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

static void print_least(const double *taken) {
  double least = taken[0];
  for (int i = 1; i < BATCHES; i++) least = taken[i] < least ? taken[i] : least;
  printf("%.3f\n", least);
}

static void time_calls(int (*call)(void), int n) {
  double taken[BATCHES];
  for (int batch = 0; batch < BATCHES; batch++) {
    double began = now_ns();
    for (int i = 0; i < n; i++) call();
    taken[batch] = (now_ns() - began) / n;
  }
  print_least(taken);
}

static void time_starts(int n, char *program) {
  double taken[BATCHES];
  char *arguments[] = {program, NULL};
  for (int batch = 0; batch < BATCHES; batch++) {
    double began = now_ns();
    for (int i = 0; i < n; i++) {
      pid_t pid;
      if (posix_spawnp(&pid, program, NULL, NULL, arguments, environ)) exit(1);
      waitpid(pid, NULL, 0);
    }
    taken[batch] = (now_ns() - began) / n;
  }
  print_least(taken);
}

/* The child stops before and after the call; between, every instruction is one step. The stops' own are told by the
 * same steps around no call. */
static long steps(int (*call)(void)) {
  int status;
  long n = 0;
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    if (call) call();
    raise(SIGUSR1);
    if (call) call();
    raise(SIGUSR2);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  for (;; n++) {
    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL);
    if (waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status) || WSTOPSIG(status) == SIGUSR2) break;
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return n;
}

static int (*named(const char *name))(void) {
  void *context;
  if (cuInit(0) || cuDevicePrimaryCtxRetain(&context, 0) || cuCtxSetCurrent(context)) return NULL;
  return strcmp(name, "sync") ? call_version : call_sync;
}

int main(int count, char **arguments) {
  if (count == 4 && !strcmp(arguments[1], "start")) {
    time_starts(atoi(arguments[2]), arguments[3]);
    return 0;
  }
  int counts = count == 3 && !strcmp(arguments[1], "count");
  int (*call)(void) = count == 3 ? named(arguments[counts ? 2 : 1]) : NULL;
  if (!call) return 1;
  if (counts) printf("%ld\n", steps(call) - steps(NULL));
  else time_calls(call, atoi(arguments[2]));
  return 0;
}
