/* Questions and their answers: what is asked is checked here, whole, before anything is done.
 *
 * A question has exactly its kind's size, and what it does not use is zero: there is nothing in it that nobody reads.
 */
#include "helper.h"
#include "kernel_lines.h"

void answer_start(struct offbus_answer *answer, enum offbus_kmsg_status status) {
  memset(answer, 0, sizeof *answer);
  answer->magic = OFFBUS_KMSG_MAGIC;
  answer->version = OFFBUS_KMSG_VERSION;
  answer->status = (uint16_t)status;
}

static size_t size_of(unsigned kind) {
  switch (kind) {
    case OFFBUS_ASK_STATUS: return sizeof(struct offbus_ask);
    case OFFBUS_ASK_XID: return sizeof(struct offbus_ask_xid);
    case OFFBUS_ASK_RESET: return sizeof(struct offbus_ask_reset);
    case OFFBUS_ASK_NAMESPACE:
    case OFFBUS_ASK_MAPS_PAGE:
    case OFFBUS_ASK_PRELOAD:
    case OFFBUS_ASK_EXECUTABLE: return sizeof(struct offbus_ask_process);
    case OFFBUS_ASK_READS_METADATA: return sizeof(struct offbus_ask_metadata);
    case OFFBUS_ASK_GIVE_POD:
    case OFFBUS_ASK_REMOVE_POD: return sizeof(struct offbus_ask_pod);
    default: return 0;
  }
}

static bool is_question(const struct offbus_ask *ask, size_t size) {
  return size >= sizeof *ask && ask->magic == OFFBUS_KMSG_MAGIC && ask->version == OFFBUS_KMSG_VERSION &&
         size == size_of(ask->kind);
}

/* A line is made, counted and written: refused before it counts, counted before it is written. */
static void write_line(const struct settings *with, const struct text *line, unsigned level, const char *gpu,
                       struct offbus_answer *answer) {
  if (answer->status == OFFBUS_DONE) budget_take(with, gpu, answer);
  if (answer->status != OFFBUS_DONE) return;
  memcpy(answer->text, line->bytes, line->used + 1);
  answer->length = (uint32_t)line->used;
  log_write(with, line, level, answer);
}

static void write_xid(const struct settings *with, const struct offbus_ask_xid *ask, struct offbus_answer *answer) {
  struct text line = {0};
  answer->at_ns = raw_now_ns();
  answer->status = (uint16_t)line_of_xid(&line, ask, answer->at_ns);
  write_line(with, &line, XID_LEVEL, ask->pci, answer);
}

static void write_reset(const struct settings *with, const struct offbus_ask_reset *ask,
                        struct offbus_answer *answer) {
  struct text line = {0};
  answer->at_ns = raw_now_ns();
  answer->status = (uint16_t)line_of_reset(&line, ask);
  write_line(with, &line, RESET_LEVEL, NULL, answer);
}

static void show_status(const struct settings *with, struct offbus_answer *answer) {
  log_check(with, answer);
  if (answer->status == OFFBUS_DONE) budget_show(with, answer);
}

static void of_process(const struct settings *with, const struct offbus_ask_process *ask,
                       struct offbus_answer *answer) {
  bool has_limit = ask->head.kind == OFFBUS_ASK_MAPS_PAGE;
  if (!ask->pid || ask->pid > INT32_MAX || has_limit != (ask->most != 0)) answer->status = OFFBUS_MALFORMED;
  else if (ask->head.kind == OFFBUS_ASK_NAMESPACE) process_namespace(ask->pid, answer);
  else if (ask->head.kind == OFFBUS_ASK_PRELOAD) process_preload(ask->pid, answer);
  else if (ask->head.kind == OFFBUS_ASK_EXECUTABLE) process_executable(ask->pid, answer);
  else process_maps_page(with, ask->pid, ask->most, answer);
}

static void of_pod(const struct settings *with, const struct offbus_ask_pod *ask, struct offbus_answer *answer) {
  bool removes = ask->head.kind == OFFBUS_ASK_REMOVE_POD;
  if (!is_filled_text(ask->uid, sizeof ask->uid) || ask->zero || removes != (ask->most != 0))
    answer->status = OFFBUS_MALFORMED;
  else if (!is_uuid(ask->uid)) answer->status = OFFBUS_UNSAFE;
  else if (removes) folder_remove_pod(with, ask->uid, ask->most, answer);
  else folder_give_pod(with, ask->uid, answer);
}

bool answer_to(const struct settings *with, const void *packet, size_t size, struct offbus_answer *answer) {
  const struct offbus_ask *ask = packet;
  if (!is_question(ask, size)) {
    answer_start(answer, OFFBUS_MALFORMED);
    answer->number = OFFBUS_KMSG_VERSION;
    return true;
  }
  answer_start(answer, OFFBUS_DONE);
  switch (ask->kind) {
    case OFFBUS_ASK_STATUS: show_status(with, answer); break;
    case OFFBUS_ASK_XID: write_xid(with, packet, answer); break;
    case OFFBUS_ASK_RESET: write_reset(with, packet, answer); break;
    case OFFBUS_ASK_GIVE_POD:
    case OFFBUS_ASK_REMOVE_POD: of_pod(with, packet, answer); break;
    case OFFBUS_ASK_READS_METADATA: return false;
    default: of_process(with, packet, answer);
  }
  return true;
}

void answer_slowly(const struct settings *with, const void *packet, struct offbus_answer *answer) {
  process_reads_metadata(with, packet, answer);
}
