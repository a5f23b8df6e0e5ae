/* What the helper may write at most: lines an hour, on so many GPUs, and nothing while a stop file is there.
 *
 * In memory, by CLOCK_BOOTTIME: the served user cannot end the helper, and so cannot get a new hour. A line counts
 * when it is about to be written, whether or not that succeeds.
 */
#include <errno.h>

#include "helper.h"

#define HOUR_NS (3600ull * 1000000000u)

static uint64_t lines[MOST_LINES_PER_HOUR]; /* when those of the last hour were written, a ring */
static size_t oldest, count;
static struct {
  char gpu[24];
  uint64_t last_ns;
} gpus[MOST_GPUS];

static uint64_t seconds_until(uint64_t ns, uint64_t now) { return ns > now ? (ns - now) / 1000000000u + 1 : 0; }

static bool is_stopped(const struct settings *of, struct offbus_answer *answer) {
  for (const char *const *file = of->stop_files; *file; file++) {
    int fd = raw_open(*file, O_PATH);
    if (fd >= 0) raw_close(fd);
    if (fd == -ENOENT || fd == -ENOTDIR) continue;
    answer->status = OFFBUS_STOPPED; /* what cannot be looked at stops, too */
    struct text name = {0};
    text_add(&name, *file);
    memcpy(answer->text, name.bytes, name.used + 1);
    answer->length = (uint32_t)name.used;
    return true;
  }
  return false;
}

void budget_show(const struct settings *of, struct offbus_answer *answer) {
  uint64_t now = raw_now_ns(), used = 0;
  if (is_stopped(of, answer)) return;
  for (; count && lines[oldest] + HOUR_NS <= now; count--) oldest = (oldest + 1) % MOST_LINES_PER_HOUR;
  for (size_t i = 0; i < MOST_GPUS; i++) used += gpus[i].last_ns && gpus[i].last_ns + HOUR_NS > now;
  answer->seq = of->lines_per_hour - count;
  answer->number = of->gpus - used;
  if (answer->seq) return;
  answer->status = OFFBUS_TOO_MANY_LINES;
  answer->number = seconds_until(lines[oldest] + HOUR_NS, now);
}

/* Counts a line on a GPU. Seconds until it may be written; 0 when it may now. */
static uint64_t take_gpu(const struct settings *of, const char *gpu, uint64_t now) {
  size_t used = 0, free = MOST_GPUS;
  uint64_t next = UINT64_MAX;
  for (size_t i = 0; i < MOST_GPUS; i++) {
    bool is_used = gpus[i].last_ns && gpus[i].last_ns + HOUR_NS > now;
    if (is_used && text_equal(gpus[i].gpu, gpu)) return gpus[i].last_ns = now, 0;
    if (!is_used) free = i;
    else if (++used, gpus[i].last_ns + HOUR_NS < next) next = gpus[i].last_ns + HOUR_NS;
  }
  if (used >= of->gpus || free == MOST_GPUS) return seconds_until(next, now);
  memcpy(gpus[free].gpu, gpu, text_length(gpu) + 1);
  gpus[free].last_ns = now;
  return 0;
}

void budget_take(const struct settings *of, const char *gpu, struct offbus_answer *answer) {
  uint64_t now = raw_now_ns();
  budget_show(of, answer);
  if (answer->status != OFFBUS_DONE) return;
  answer->seq = answer->number = 0;
  if (gpu && (answer->number = take_gpu(of, gpu, now))) {
    answer->status = OFFBUS_TOO_MANY_GPUS;
    return;
  }
  lines[(oldest + count++) % MOST_LINES_PER_HOUR] = now;
}
