/* The constructor that the loader calls. It starts the other parts, so that the process and its page do not depend on
 * each other. */
#include "shim.h"

/* Called only by the loader; a test harness may reset the state with it. */
__attribute__((constructor)) void shim_start(void) {
  process_start();
  page_start();
}
