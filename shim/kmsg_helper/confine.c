/* What the program gives up once it listens: capabilities, new privileges, and system calls that no answer needs.
 *
 * A privileged container has no seccomp profile, whatever its manifest says: this one brings its own. Whoever might
 * take over this program can start no other one, connect to nothing, and mount, map and trace nothing.
 */
#include <errno.h>

#include "helper.h"

/* Capabilities by their numbers (capabilities(7)): for folders and files of others, for /proc, and for reading the
 * kernel log. */
enum { CHOWN = 0, DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2, FOWNER = 3, SYS_PTRACE = 19, SYSLOG = 34 };

static long drop_capabilities(void) {
  static const uint8_t needed[] = {CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, SYS_PTRACE, SYSLOG};
  struct {
    uint32_t version;
    int32_t pid;
  } head = {0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0};
  struct {
    uint32_t effective, permitted, inheritable;
  } sets[2] = {{0, 0, 0}, {0, 0, 0}};
  uint64_t mask = 0;
  for (unsigned i = 0; i < sizeof needed; i++) mask |= 1ull << needed[i];
  long done = raw_call(SYS_capget, (long)&head, (long)sets, 0, 0, 0, 0);
  for (unsigned i = 0; i < 2; i++) {
    sets[i].permitted &= (uint32_t)(mask >> (32 * i));
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  if (!done) done = raw_call(SYS_capset, (long)&head, (long)sets, 0, 0, 0, 0);
  if (!done) done = raw_call(SYS_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0, 0);
  return done;
}

#if defined(__x86_64__)
#define ARCHITECTURE 0xc000003eu /* AUDIT_ARCH_X86_64 */
#elif defined(__aarch64__)
#define ARCHITECTURE 0xc00000b7u /* AUDIT_ARCH_AARCH64 */
#endif

/* Of linux/filter.h and linux/seccomp.h, which not every compiler here has. */
struct instruction {
  uint16_t code;
  uint8_t when_true, when_false;
  uint32_t value;
};
struct program {
  uint16_t length;
  struct instruction *instructions;
};
enum { LOAD = 0x20, JUMP_IF_EQUAL = 0x15, RETURN = 0x06, AT_NUMBER = 0, AT_ARCHITECTURE = 4 };
#define ALLOW 0x7fff0000u
#define REFUSE (0x00050000u | EPERM)

static const uint16_t allowed[] = {
    SYS_accept4, SYS_clock_gettime, SYS_clone,     SYS_close,       SYS_exit_group, SYS_fchmod,   SYS_fchown,
    SYS_fchownat, SYS_flock,        SYS_fstat,     SYS_getdents64,  SYS_getrandom,  SYS_getsockopt, SYS_lseek,
    SYS_nanosleep, SYS_openat,      SYS_ppoll,     SYS_pread64,     SYS_read,       SYS_readlinkat, SYS_recvfrom,
    SYS_renameat2, SYS_rt_sigprocmask, SYS_sendto, SYS_setitimer,   SYS_setsockopt, SYS_signalfd4, SYS_unlinkat,
    SYS_wait4,    SYS_write,
};
enum { ALLOWED = sizeof allowed / sizeof *allowed };

static long filter_calls(void) {
  struct instruction all[ALLOWED + 6];
  uint16_t at = 0;
  all[at++] = (struct instruction){LOAD, 0, 0, AT_ARCHITECTURE};
  all[at++] = (struct instruction){JUMP_IF_EQUAL, 1, 0, ARCHITECTURE};
  all[at++] = (struct instruction){RETURN, 0, 0, REFUSE};
  all[at++] = (struct instruction){LOAD, 0, 0, AT_NUMBER};
  for (unsigned i = 0; i < ALLOWED; i++)
    all[at++] = (struct instruction){JUMP_IF_EQUAL, (uint8_t)(ALLOWED - i), 0, allowed[i]};
  all[at++] = (struct instruction){RETURN, 0, 0, REFUSE};
  all[at++] = (struct instruction){RETURN, 0, 0, ALLOW};
  struct program filter = {at, all};
  return raw_call(SYS_prctl, 22 /* PR_SET_SECCOMP */, 2 /* SECCOMP_MODE_FILTER */, (long)&filter, 0, 0, 0);
}

long confine(void) {
  long done = drop_capabilities();
  return done ? done : filter_calls();
}
