/* The initial environment, and the folder that this object was loaded from.
 *
 * The environment is read from /proc, because a preloaded object may be initialised before libc is. In a process with
 * more privileges than its caller (setuid, file capabilities) it is not trusted and counts as empty: a proxy that used
 * it would load the caller's library.
 */
#include <elf.h>

#include "raw.h"
#include "shim.h"

/* The state of a scan of NAME=value\0NAME=value\0… for one name. */
struct scan {
  const char *name;
  char *value;
  size_t room, at;
  enum { IN_NAME, IN_VALUE, IN_ANOTHER, FOUND } state;
};

static void scan_byte(struct scan *scan, char byte) {
  if (!byte) {
    scan->state = scan->state == IN_VALUE ? FOUND : IN_NAME;
    scan->at = 0;
  } else if (scan->state == IN_VALUE) {
    if (scan->at < scan->room - 1) scan->value[scan->at++] = byte, scan->value[scan->at] = 0;
  } else if (scan->state == IN_NAME) {
    if (scan->name[scan->at] == byte) scan->at++;
    else if (!scan->name[scan->at] && byte == '=') scan->state = IN_VALUE, scan->at = 0;
    else scan->state = IN_ANOTHER;
  }
}

/* AT_SECURE of the auxiliary vector; what cannot be read counts as secure. */
static bool runs_with_other_rights(void) {
  uint64_t vector[128] = {0};
  int fd = raw_open("/proc/self/auxv", O_RDONLY);
  long got = fd >= 0 ? raw_read(fd, vector, sizeof vector - 16) : 0;
  if (fd >= 0) raw_close(fd);
  for (unsigned i = 0; got > 0 && vector[i] != AT_NULL; i += 2)
    if (vector[i] == AT_SECURE) return vector[i + 1] != 0;
  return true;
}

void environment_read(const char *name, char *value, size_t room) {
  char chunk[1024];
  struct scan scan = {name, value, room, 0, IN_NAME};
  value[0] = 0;
  if (runs_with_other_rights()) return;
  int fd = raw_open("/proc/self/environ", O_RDONLY);
  for (long got; fd >= 0 && scan.state != FOUND && (got = raw_read(fd, chunk, sizeof chunk)) > 0;)
    for (long i = 0; i < got && scan.state != FOUND; i++) scan_byte(&scan, chunk[i]);
  if (fd >= 0) raw_close(fd);
}

void path_join(char *into, size_t room, const char *folder, const char *file) {
  size_t at = 0;
  while (*folder && at < room - 1) into[at++] = *folder++;
  while (*file && at < room - 1) into[at++] = *file++;
  into[at] = 0;
}

void own_folder(char *into, size_t room) {
  size_t end = 0;
  path_join(into, room, elf_own_path(), "");
  for (size_t i = 0; into[i]; i++)
    if (into[i] == '/') end = i + 1;
  into[end] = 0;
}
