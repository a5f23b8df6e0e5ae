/* One line to the kernel log and back: /dev/kmsg, or the record file of a `local` node.
 *
 * The device is opened for each line (the kernel drops more than 10 records in 5 s of one open file), the file is
 * locked for it; one write(2) each, and nothing is ever created. Then the record is looked for, from where the log
 * ended before, and its sequence number is the answer. The Python side of both: offbus_agent/kernel_log.
 */
#include <errno.h>
#include <poll.h>
#include <sys/file.h>

#include "helper.h"

#define FACILITY_USER 1 /* the kernel's own for records of user space; the record file spells it */
#define SEEN_WITHIN_NS 3000000000ull
#define LOCKED_WITHIN_NS 2000000000ull
#define LOOK_AGAIN_NS 10000000ull

static char buffer[8192]; /* the kernel's largest record (CONSOLE_EXT_LOG_MAX) */

static void fail(struct offbus_answer *answer, enum offbus_kmsg_status status, long error) {
  answer->status = (uint16_t)status;
  answer->error = error < 0 ? (int32_t)-error : 0;
}

/* Whether a record `<prefix>,<seq>,<usec>,<flags>;<text>` has this text; `seq` is its number. -1: it is no record. */
static int is_record(const char *record, size_t size, const struct text *line, uint64_t *seq) {
  uint64_t skipped;
  const char *at = record, *end = record + size;
  if (!text_reads_number(&at, 20, &skipped) || *at++ != ',' || !text_reads_number(&at, 20, seq)) return -1;
  if (*at++ != ',' || !text_reads_number(&at, 20, &skipped) || *at != ',') return -1;
  while (at < end && *at != ';' && *at != '\n') at++;
  if (at == end || *at++ != ';') return -1;
  size_t length = 0;
  while (at + length < end && at[length] != '\n') length++;
  return length == line->used && memcmp(at, line->bytes, length) == 0;
}

/* Until the line shows; `reader` stands where the log ended. */
static void find_in_device(int reader, const struct text *line, struct offbus_answer *answer) {
  uint64_t until = raw_now_ns() + SEEN_WITHIN_NS;
  for (uint64_t now; (now = raw_now_ns()) < until;) {
    long got = raw_read(reader, buffer, sizeof buffer - 1);
    if (got == -EAGAIN) {
      struct pollfd waited = {reader, POLLIN, 0};
      struct timespec left = {(time_t)((until - now) / 1000000000u), (long)((until - now) % 1000000000u)};
      raw_call(SYS_ppoll, (long)&waited, 1, (long)&left, 0, 0, 0);
      continue;
    }
    if (got == -EPIPE) continue; /* records were overwritten before they were read; the next read gives the oldest */
    if (got < 0) return fail(answer, OFFBUS_NOT_SEEN, got);
    buffer[got] = 0;
    switch (is_record(buffer, (size_t)got, line, &answer->seq)) {
      case 1: return;
      case -1: return fail(answer, OFFBUS_NOT_RETURNED, 0);
    }
  }
  fail(answer, OFFBUS_NOT_SEEN, 0);
}

/* One write, all of it or an error. */
static bool write_once(int fd, const struct text *data, struct offbus_answer *answer) {
  long written = raw_write(fd, data->bytes, data->used);
  if (written == (long)data->used) return true;
  fail(answer, OFFBUS_NOT_WRITTEN, written);
  answer->number = written > 0 ? (uint64_t)written : 0;
  return false;
}

static void write_device(const struct settings *to, const struct text *line, unsigned level,
                         struct offbus_answer *answer) {
  struct text data = {0};
  text_add(&data, "<");
  text_add_number(&data, level, 1);
  text_add(&data, ">");
  text_add(&data, line->bytes);
  text_add(&data, "\n");
  int reader = raw_open(to->log, O_RDONLY | O_NONBLOCK), writer = raw_open(to->log, O_WRONLY | O_NONBLOCK);
  if (reader < 0 || writer < 0) fail(answer, OFFBUS_NOT_OPENED, reader < 0 ? reader : writer);
  else if (raw_size(reader) < 0) fail(answer, OFFBUS_NO_LOG, 0); /* moves behind the last record */
  else if (write_once(writer, &data, answer)) find_in_device(reader, line, answer);
  if (reader >= 0) raw_close(reader);
  if (writer >= 0) raw_close(writer);
}

static bool lock(int fd) {
  for (uint64_t until = raw_now_ns() + LOCKED_WITHIN_NS; raw_now_ns() < until; raw_sleep_ns(LOOK_AGAIN_NS))
    if (raw_call(SYS_flock, fd, LOCK_EX | LOCK_NB, 0, 0, 0, 0) == 0) return true;
  return false;
}

/* The number after that of the file's last record. False when it does not end with one. */
static bool next_number(int fd, long size, uint64_t *number) {
  struct text nothing = {0};
  *number = 0;
  if (!size) return true;
  long from = size > 4096 ? size - 4096 : 0, got = raw_pread(fd, buffer, 4096, from), at = got - 1;
  if (got != size - from || buffer[at] != '\n') return false;
  buffer[got] = 0;
  while (at > 0 && buffer[at - 1] != '\n') at--;
  if (is_record(buffer + at, (size_t)(got - at), &nothing, number) < 0) return false;
  (*number)++;
  return true;
}

/* From `at` on, in the file that now has this name. */
static bool is_in_file(const struct settings *to, long at, uint64_t number, const struct text *line) {
  int fd = raw_open(to->log, O_RDONLY | O_NONBLOCK);
  bool is_there = false;
  for (long got; fd >= 0 && !is_there && (got = raw_pread(fd, buffer, sizeof buffer - 1, at)) > 0;) {
    uint64_t found;
    long end = 0;
    buffer[got] = 0;
    while (end < got && buffer[end] != '\n') end++;
    is_there = is_record(buffer, (size_t)end, line, &found) == 1 && found == number;
    at += end + 1;
  }
  if (fd >= 0) raw_close(fd);
  return is_there;
}

static void write_file(const struct settings *to, const struct text *line, unsigned level,
                       struct offbus_answer *answer) {
  int fd = raw_open(to->log, O_RDWR | O_APPEND | O_NONBLOCK);
  struct stat found;
  if (fd < 0) return fail(answer, OFFBUS_NOT_OPENED, fd);
  if (!raw_stat(fd, &found) || !S_ISREG(found.st_mode)) fail(answer, OFFBUS_NO_LOG, 0);
  else if (!lock(fd)) fail(answer, OFFBUS_LOCKED, 0);
  else if (!raw_stat(fd, &found) || !next_number(fd, found.st_size, &answer->seq)) fail(answer, OFFBUS_NO_LOG, 0);
  else {
    struct text data = {0};
    text_add_number(&data, FACILITY_USER * 8 + level, 1);
    text_add(&data, ",");
    text_add_number(&data, answer->seq, 1);
    text_add(&data, ",");
    text_add_number(&data, answer->at_ns / 1000, 1);
    text_add(&data, ",-;");
    text_add(&data, line->bytes);
    text_add(&data, "\n");
    if (write_once(fd, &data, answer) && !is_in_file(to, found.st_size, answer->seq, line))
      fail(answer, OFFBUS_LOST, 0);
  }
  raw_close(fd);
}

/* The mode of what is at the log's path; 0 when there is nothing. */
static mode_t mode_of(const struct settings *to, struct offbus_answer *answer) {
  struct stat found = {0};
  int fd = raw_open(to->log, O_PATH);
  if (fd < 0) return fail(answer, OFFBUS_NOT_OPENED, fd), (mode_t)0;
  bool is_seen = raw_stat(fd, &found);
  raw_close(fd);
  bool is_log = is_seen && (S_ISCHR(found.st_mode) || S_ISREG(found.st_mode));
  if (!is_log) fail(answer, OFFBUS_NO_LOG, 0);
  return is_log ? found.st_mode : 0;
}

void log_check(const struct settings *to, struct offbus_answer *answer) {
  mode_t mode = mode_of(to, answer);
  if (!mode) return;
  answer->at_ns = S_ISCHR(mode);
  int reader = raw_open(to->log, O_RDONLY | O_NONBLOCK), writer = raw_open(to->log, O_WRONLY | O_NONBLOCK);
  if (reader < 0 || writer < 0) fail(answer, OFFBUS_NOT_OPENED, reader < 0 ? reader : writer);
  if (reader >= 0) raw_close(reader);
  if (writer >= 0) raw_close(writer);
}

void log_write(const struct settings *to, const struct text *line, unsigned level, struct offbus_answer *answer) {
  mode_t mode = mode_of(to, answer);
  if (!mode) return;
  if (S_ISCHR(mode)) write_device(to, line, level, answer);
  else write_file(to, line, level, answer);
}
