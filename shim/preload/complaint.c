/* Why this process sees no faults: stored until it uses CUDA or NVML, because a shell should not print anything about
 * pages. It is a separate file because both the page and the code that loads the real driver report problems.
 */
#include "shim.h"

static struct line complaint;

void complaint_add(const char *what, const char *why) {
  if (__atomic_load_n(&complaint.used, __ATOMIC_RELAXED)) return;
  line_add(&complaint, "offbus: no faults here: ");
  line_add(&complaint, what);
  line_add(&complaint, " ");
  line_add(&complaint, why);
}

void complaint_say(void) {
  if (!__atomic_load_n(&complaint.used, __ATOMIC_RELAXED)) return;
  struct line line = complaint;
  complaint.used = 0;
  line_say(&line);
}
