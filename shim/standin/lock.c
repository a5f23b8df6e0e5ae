#include "lock.h"

#include <pthread.h>
#include <signal.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sigset_t unlocked; /* the signal mask of the lock's holder before it took it */

/* On Linux sigprocmask applies to the thread, and unlike pthread_sigmask it has one version in all of glibc. */
void driver_lock(void) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  pthread_mutex_lock(&lock);
  unlocked = before;
}

void driver_unlock(void) {
  sigset_t before = unlocked;
  pthread_mutex_unlock(&lock);
  sigprocmask(SIG_SETMASK, &before, NULL);
}

static void free_in_child(void) { lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER; }

__attribute__((constructor)) static void survive_forks(void) { pthread_atfork(NULL, NULL, free_in_child); }
