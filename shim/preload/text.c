/* Strings, the memory functions that a compiler may call by itself, and the line on stderr. */
#include "text.h"

#include "raw.h"

/* Keeps a compiler from seeing memcpy in the loop that is memcpy, and calling it. */
#define NO_IDIOM() __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char *)to)[i] = ((const char *)from)[i];
    NO_IDIOM();
  }
  return to;
}

void *memset(void *at, int byte, size_t size) {
  for (size_t i = 0; i < size; i++) {
    ((char *)at)[i] = (char)byte;
    NO_IDIOM();
  }
  return at;
}

int memcmp(const void *a, const void *b, size_t size) {
  const unsigned char *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] - y[i];
  return 0;
}

size_t text_length(const char *text) {
  size_t length = 0;
  while (text[length]) {
    length++;
    NO_IDIOM();
  }
  return length;
}

bool text_equal(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

bool text_starts(const char *text, const char *prefix) {
  while (*prefix && *text == *prefix) text++, prefix++;
  return !*prefix;
}

/* Keeps it one line, whatever a path or a page contains. */
void line_add(struct line *line, const char *text) {
  for (; *text && line->used < sizeof line->text - 1; text++)
    line->text[line->used++] = (unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text;
}

void line_add_number(struct line *line, int64_t number) {
  char digits[24];
  size_t at = sizeof digits - 1;
  uint64_t rest = number < 0 ? (uint64_t)-number : (uint64_t)number;
  digits[at] = 0;
  do digits[--at] = (char)('0' + rest % 10);
  while (rest /= 10);
  if (number < 0) digits[--at] = '-';
  line_add(line, digits + at);
}

/* What stderr was when the process started. A daemon may have closed it, and one of its own files or connections may
 * have that number now: our line must not go there. */
static struct stat first_stderr;
static bool had_stderr;

void line_start(void) { had_stderr = raw_stat(2, &first_stderr); }

void line_say(struct line *line) {
  struct stat now;
  line->text[line->used++] = '\n';
  if (!had_stderr || !raw_stat(2, &now)) return;
  if (now.st_ino == first_stderr.st_ino && now.st_dev == first_stderr.st_dev) raw_write(2, line->text, line->used);
}
