/* A spin lock that holds its owner's pid: a child that was forked while another thread held it takes it over,
 * because that thread does not exist in the child. */
#include "raw.h"
#include "shim.h"

void lock_take(uint32_t *lock) {
  uint32_t self = (uint32_t)process_pid();
  for (;;) {
    uint32_t owner = 0;
    if (__atomic_compare_exchange_n(lock, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    if (owner != self &&
        __atomic_compare_exchange_n(lock, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return;
    raw_yield();
  }
}

void lock_give(uint32_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_RELEASE); }
