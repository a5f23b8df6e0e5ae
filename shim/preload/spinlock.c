/* A spin lock for short sections. It holds its owner's pid: a child that was forked while another thread held it takes
 * it over, because that thread does not exist in the child. Signals are blocked while it is held, so that a handler that
 * calls the driver cannot wait for the lock of the code that it interrupted. */
#include "raw.h"
#include "shim.h"

uint64_t lock_take(uint32_t *lock) {
  uint64_t mask = raw_block_signals();
  uint32_t self = (uint32_t)raw_getpid();
  for (;;) {
    uint32_t owner = __atomic_load_n(lock, __ATOMIC_RELAXED);
    if (owner != self &&
        __atomic_compare_exchange_n(lock, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
      return mask;
    raw_yield();
  }
}

void lock_give(uint32_t *lock, uint64_t mask) {
  __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
  raw_restore_signals(mask);
}
