/* The kernel lines: the texts of kernel_lines.h with the fields of a question, each checked first.
 *
 * A field's characters are those that a fault's id, a PCI address or a UUID may have, and no other: so whatever is
 * asked for, it is one line of the catalogue. The rules are those of offbus_agent/kernel_log/line.py, and a test
 * compares both byte for byte.
 */
#include "helper.h"
#include "kernel_lines.h"

#define PREFIX_ROOM 5 /* "<15>" and the line end */

static bool is_letter(char one) { return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z'); }
static bool is_digit(char one) { return one >= '0' && one <= '9'; }
static bool is_hex(char one) {
  return is_digit(one) || (one >= 'a' && one <= 'f') || (one >= 'A' && one <= 'F');
}

/* Moves behind hexadecimal digits, so many at most; how many there are. */
static unsigned skip_hex(const char **at, unsigned most) {
  unsigned count = 0;
  while (count < most && is_hex(**at)) (*at)++, count++;
  return count;
}

bool is_filled_text(const char *field, size_t size) {
  size_t length = 0;
  while (length < size && field[length]) length++;
  if (!length || length == size) return false;
  for (size_t i = length; i < size; i++)
    if (field[i]) return false;
  return true;
}

/* Of 63 characters at most: its field holds no more. */
static bool is_fault_id(const char *text) {
  if (!is_letter(*text) && !is_digit(*text)) return false;
  for (; *text; text++)
    if (!is_letter(*text) && !is_digit(*text) && *text != '.' && *text != '_' && *text != '-') return false;
  return true;
}

/* dddd:bb:dd, where the domain may have up to eight digits */
static bool is_address(const char *text) {
  if (skip_hex(&text, 8) < 4 || *text++ != ':') return false;
  if (skip_hex(&text, 2) != 2 || *text++ != ':') return false;
  return skip_hex(&text, 2) == 2 && !*text;
}

bool is_uuid(const char *text) {
  static const unsigned char lengths[] = {8, 4, 4, 4, 12};
  for (unsigned i = 0; i < sizeof lengths; i++)
    if ((i && *text++ != '-') || skip_hex(&text, lengths[i]) != lengths[i]) return false;
  return !*text;
}

/* The fields of a line, in the order of their marks. */
struct fields {
  const char *fault;
  uint64_t at_ns;
  const char *address;
  uint32_t gpu;
  const char *uuid;
};

static void fill(struct text *line, const char *text, const struct fields *with) {
  for (char plain[2] = {0, 0}; *text; text++) {
    switch (*text) {
      case 1: text_add(line, with->fault); break;
      case 2:
        text_add_number(line, with->at_ns / 1000000000u, 1);
        text_add(line, ".");
        text_add_number(line, with->at_ns % 1000000000u / 1000, 6);
        break;
      case 3: text_add(line, with->address); break;
      case 4: text_add_number(line, with->gpu, 1); break;
      case 5: text_add(line, with->uuid); break;
      default: plain[0] = *text, text_add(line, plain);
    }
  }
}

static enum offbus_kmsg_status checked(const struct text *line) {
  return line->cut || line->used + PREFIX_ROOM >= LINE_LIMIT ? OFFBUS_UNSAFE : OFFBUS_DONE;
}

enum offbus_kmsg_status line_of_xid(struct text *line, const struct offbus_ask_xid *ask, uint64_t at_ns) {
  bool is_whole = is_filled_text(ask->fault, sizeof ask->fault) && is_filled_text(ask->pci, sizeof ask->pci);
  if (!is_whole || ask->before_r575 > 1 || ask->zero[0] || ask->zero[1]) return OFFBUS_MALFORMED;
  const char *opening = line_opening(ask->dialect), *text = line_of_driver(ask->xid, ask->before_r575);
  if (!text) return OFFBUS_UNKNOWN_XID;
  if (!opening || !is_fault_id(ask->fault) || !is_address(ask->pci)) return OFFBUS_UNSAFE;
  struct fields with = {ask->fault, at_ns, ask->pci, ask->gpu, ""};
  fill(line, opening, &with);
  fill(line, text, &with);
  return checked(line);
}

enum offbus_kmsg_status line_of_reset(struct text *line, const struct offbus_ask_reset *ask) {
  if (!is_filled_text(ask->gpu, sizeof ask->gpu)) return OFFBUS_MALFORMED;
  if (!text_starts(ask->gpu, "GPU-") || !is_uuid(ask->gpu + 4)) return OFFBUS_UNSAFE;
  fill(line, RESET_LINE, &(struct fields){"", 0, "", 0, ask->gpu});
  return checked(line);
}
