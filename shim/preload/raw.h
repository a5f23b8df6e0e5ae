/* System calls without libc: the shim must load into any image, so it needs no library. Results are the kernel's:
 * negative errno on failure. */
#ifndef OFFBUS_RAW_H
#define OFFBUS_RAW_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#endif
}

static inline int raw_open(const char *path, int flags) {
  return (int)raw_call(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0, 0);
}
static inline long raw_read(int fd, void *into, size_t size) {
  return raw_call(SYS_read, fd, (long)into, (long)size, 0, 0, 0);
}
static inline long raw_write(int fd, const void *from, size_t size) {
  return raw_call(SYS_write, fd, (long)from, (long)size, 0, 0, 0);
}
static inline long raw_pwrite(int fd, const void *from, size_t size, long at) {
  return raw_call(SYS_pwrite64, fd, (long)from, (long)size, at, 0, 0);
}
static inline long raw_pread(int fd, void *into, size_t size, long at) {
  return raw_call(SYS_pread64, fd, (long)into, (long)size, at, 0, 0);
}
/* Tries for an exclusive lock of the first bytes that ends when the descriptor is closed (F_OFD_SETLK, Linux 3.15). */
static inline bool raw_lock(int fd) {
  struct {
    int16_t type, whence;
    int64_t start, length;
    int32_t pid;
  } range = {F_WRLCK, 0, 0, 1, 0};
  return raw_call(SYS_fcntl, fd, 37, (long)&range, 0, 0, 0) == 0;
}
/* Blocks every signal for the calling thread; returns the previous mask. */
static inline uint64_t raw_block_signals(void) {
  uint64_t all = ~0ull, before = 0;
  raw_call(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&all, (long)&before, sizeof all, 0, 0);
  return before;
}
static inline void raw_restore_signals(uint64_t mask) {
  raw_call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&mask, 0, sizeof mask, 0, 0);
}
static inline long raw_size(int fd) { return raw_call(SYS_lseek, fd, 0, 2 /* SEEK_END */, 0, 0, 0); }
static inline void raw_close(int fd) { raw_call(SYS_close, fd, 0, 0, 0, 0, 0); }
/* The kernel's structure is that of the header on both machines. */
static inline bool raw_stat(int fd, struct stat *into) {
  return raw_call(SYS_fstat, fd, (long)into, 0, 0, 0, 0) == 0;
}
static inline long raw_readlink(const char *path, char *into, size_t size) {
  return raw_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)into, (long)size, 0, 0);
}
static inline int raw_getpid(void) { return (int)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0); }
static inline int raw_gettid(void) { return (int)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0); }
static inline void raw_yield(void) { raw_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0); }

/* A shared mapping of a whole file, or null. */
static inline void *raw_map(int fd, size_t size, int protection) {
  long at = raw_call(SYS_mmap, 0, (long)size, protection, MAP_SHARED, fd, 0);
  return at < 0 && at > -4096 ? NULL : (void *)at;
}

static inline const void *raw_map_private(int fd, size_t size) {
  long at = raw_call(SYS_mmap, 0, (long)size, PROT_READ, MAP_PRIVATE, fd, 0);
  return at < 0 && at > -4096 ? NULL : (const void *)at;
}
static inline void raw_unmap(void *at, size_t size) { raw_call(SYS_munmap, (long)at, (long)size, 0, 0, 0, 0); }

static inline uint64_t raw_now_ns(void) {
  struct timespec now = {0, 0};
  raw_call(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now, 0, 0, 0, 0);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void raw_sleep_ns(uint64_t ns) {
  struct timespec span = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  raw_call(SYS_nanosleep, (long)&span, 0, 0, 0, 0, 0);
}

#endif
