/* Strings without libc, and one line on stderr (text.c). */
#ifndef OFFBUS_TEXT_H
#define OFFBUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *at, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

struct line {
  size_t used;
  char text[512];
};
bool text_equal(const char *a, const char *b);
bool text_starts(const char *text, const char *prefix);
size_t text_length(const char *text);
void line_add(struct line *line, const char *text);
void line_add_number(struct line *line, int64_t number);
void line_start(void);
void line_say(struct line *line); /* on stderr, unless it was replaced since the start */

#endif
