/* Texts that are made and read piece by piece, within their bounds. */
#include "helper.h"

void text_add(struct text *into, const char *piece) {
  for (; *piece && into->used < sizeof into->bytes - 1; piece++) into->bytes[into->used++] = *piece;
  into->cut |= *piece != 0;
  into->bytes[into->used] = 0;
}

void text_add_number(struct text *into, uint64_t number, unsigned digits) {
  char shown[24];
  size_t at = sizeof shown - 1;
  shown[at] = 0;
  for (unsigned count = 0; number || count < digits || !count; count++, number /= 10)
    shown[--at] = (char)('0' + number % 10);
  text_add(into, shown + at);
}

bool text_reads_number(const char **at, unsigned most_digits, uint64_t *number) {
  unsigned digits = 0;
  *number = 0;
  for (; **at >= '0' && **at <= '9' && digits < most_digits; (*at)++, digits++)
    *number = *number * 10 + (uint64_t)(**at - '0');
  return digits > 0 && !(**at >= '0' && **at <= '9');
}
