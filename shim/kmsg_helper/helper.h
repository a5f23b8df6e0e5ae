/* The interfaces between the parts of the kernel-log helper: the only program of offbus that is privileged on a node.
 *
 * It has no libc (raw.h), no memory but its own, and does what offbus_kmsg.h lists: whoever has taken over the agent's
 * server can ask for no more than that, within the budget.
 */
#ifndef OFFBUS_HELPER_H
#define OFFBUS_HELPER_H

#include "offbus_kmsg.h"
#include "raw.h"
#include "text.h"

#define MOST_STOP_FILES 4
#define MOST_LINES_PER_HOUR 3600
#define MOST_GPUS 64

/* How it was started. */
struct settings {
  const char *log, *root, *socket;
  uint64_t uid, gid, lines_per_hour, gpus; /* the user that is served, and the budget */
  const char *stop_files[MOST_STOP_FILES + 1];
};

/* A text that is made piece by piece; `cut` when it did not fit. Always ends with a NUL. */
struct text {
  size_t used;
  bool cut;
  char bytes[4096];
};
void text_add(struct text *into, const char *piece);
void text_add_number(struct text *into, uint64_t number, unsigned digits);      /* at least so many digits */
bool text_reads_number(const char **at, unsigned most_digits, uint64_t *number); /* decimal; moves `at` behind it */

/* line.c: the line that a question asks for, its fields checked */
enum offbus_kmsg_status line_of_xid(struct text *line, const struct offbus_ask_xid *ask, uint64_t at_ns);
enum offbus_kmsg_status line_of_reset(struct text *line, const struct offbus_ask_reset *ask);
bool is_filled_text(const char *field, size_t size); /* ends with a NUL, and nothing but NULs follows */
bool is_uuid(const char *text);

/* log.c: one line to the kernel log, or the record file of a `local` node, and back */
void log_check(const struct settings *to, struct offbus_answer *answer);
void log_write(const struct settings *to, const struct text *line, unsigned level, struct offbus_answer *answer);

/* budget.c: whether one more line may be written now; counted at once */
void budget_show(const struct settings *of, struct offbus_answer *answer);
void budget_take(const struct settings *of, const char *gpu, struct offbus_answer *answer);

/* processes.c: what the kernel tells of a process, and tells only to root */
void process_namespace(uint32_t pid, struct offbus_answer *answer);
void process_maps_page(const struct settings *of, uint32_t pid, uint32_t most, struct offbus_answer *answer);
void process_preload(uint32_t pid, struct offbus_answer *answer);
void process_executable(uint32_t pid, struct offbus_answer *answer);
void process_reads_metadata(const struct settings *of, const struct offbus_ask_metadata *ask, struct offbus_answer *answer);

/* folders.c: the folders of a node, given to the served user */
bool folders_make(const struct settings *of);
void folder_give_pod(const struct settings *of, const char *uid, struct offbus_answer *answer);
void folder_remove_pod(const struct settings *of, const char *uid, uint32_t most, struct offbus_answer *answer);

/* confine.c: gives up what no answer needs; negative errno */
long confine(void);

/* answer.c: a packet answered; false for one that only a child process may answer, because it may wait for ever */
bool answer_to(const struct settings *with, const void *packet, size_t size, struct offbus_answer *answer);
void answer_slowly(const struct settings *with, const void *packet, struct offbus_answer *answer);
void answer_start(struct offbus_answer *answer, enum offbus_kmsg_status status);

#endif
