/* What the loader calls first. It stands above what it starts, so that the process and its page know nothing of each
 * other. */
#include "shim.h"

/* Called by the loader, and by nothing else in a process; a harness may begin anew with it. */
__attribute__((constructor)) void shim_start(void) {
  process_start();
  page_start();
}
