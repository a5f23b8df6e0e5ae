/* What the kernel tells of a process only to root: the fixed questions of the agent's server about /proc.
 *
 * Never a file's content, but for one variable of an environment. What a process makes of its files is hostile: lines
 * are read by their own format, a field counts only in its own column, and every file up to a limit
 * (offbus_agent/faults/processes.py has the limits' reasons).
 */
#include <errno.h>

#include "helper.h"

#define MOST_OF_ENVIRONMENT (2u << 20)
#define MOST_OF_MAPPINGS (8u << 20)
#ifndef PROC
#define PROC "/proc/" /* a fuzzer has a folder of its own instead */
#endif
#define METADATA "/var/lib/nvsentinel/gpu_metadata.json"

static char chunk[1 << 16];

static void name_file(struct text *path, uint32_t pid, const char *file) {
  text_add(path, PROC);
  text_add_number(path, pid, 1);
  text_add(path, "/");
  text_add(path, file);
}

static int open_file(uint32_t pid, const char *file, int flags) {
  struct text path = {0};
  name_file(&path, pid, file);
  return raw_open(path.bytes, flags);
}

/* A link of /proc, cut to its room. */
static bool read_link(uint32_t pid, const char *file, struct text *into) {
  struct text path = {0};
  name_file(&path, pid, file);
  long got = raw_readlink(path.bytes, into->bytes, sizeof into->bytes - 1);
  if (got < 0) return false;
  into->bytes[into->used = (size_t)got] = 0;
  return true;
}

void process_namespace(uint32_t pid, struct offbus_answer *answer) {
  struct text link = {0};
  const char *at = link.bytes + 5;
  bool is_there = read_link(pid, "ns/pid", &link) && text_starts(link.bytes, "pid:[");
  if (!is_there || !text_reads_number(&at, 20, &answer->number)) answer->status = OFFBUS_NOT_FOUND;
}

void process_executable(uint32_t pid, struct offbus_answer *answer) {
  struct text link = {0};
  size_t name = 0;
  if (!read_link(pid, "exe", &link)) {
    answer->status = OFFBUS_NOT_FOUND;
    return;
  }
  for (size_t i = 0; i < link.used; i++)
    if (link.bytes[i] == '/') name = i + 1;
  answer->length = (uint32_t)(link.used - name);
  memcpy(answer->text, link.bytes + name, answer->length + 1);
}

/* A scan of NAME=value\0NAME=value\0… for LD_PRELOAD; the first one counts. */
struct scan {
  const char *rest; /* of the name; null in another entry */
  bool in_value, found;
};

static void scan_byte(struct scan *scan, char byte, struct offbus_answer *answer) {
  if (scan->found) return;
  if (scan->in_value) {
    if (!byte) scan->found = true;
    else if (answer->length >= sizeof answer->text - 1) answer->status = OFFBUS_TOO_LONG;
    else answer->text[answer->length++] = byte;
  } else if (!byte) {
    scan->rest = "LD_PRELOAD=";
  } else if (scan->rest) {
    scan->rest = *scan->rest == byte ? scan->rest + 1 : NULL;
    scan->in_value = scan->rest && !*scan->rest;
  }
}

void process_preload(uint32_t pid, struct offbus_answer *answer) {
  struct scan scan = {"LD_PRELOAD=", false, false};
  size_t size = 0;
  int fd = open_file(pid, "environ", O_RDONLY);
  long got = fd < 0 ? fd : 0;
  while (fd >= 0 && size <= MOST_OF_ENVIRONMENT && (got = raw_read(fd, chunk, sizeof chunk)) > 0) {
    for (long i = 0; i < got; i++) scan_byte(&scan, chunk[i], answer);
    size += (size_t)got;
  }
  if (fd >= 0) raw_close(fd);
  if (got < 0) answer->status = OFFBUS_NOT_FOUND;
  else if (size > MOST_OF_ENVIRONMENT) answer->status = OFFBUS_TOO_LONG;
}

/* A line of maps (proc(5)): addresses, permissions, offset, device, inode, and a path that may hold anything. */
struct mapping {
  size_t used;
  char start[160]; /* of the line: what is longer is path */
};

static void add_hex(struct text *into, uint32_t number) {
  char digits[3] = {"0123456789abcdef"[number >> 4 & 15], "0123456789abcdef"[number & 15], 0};
  if (number >> 8) add_hex(into, number >> 8);
  text_add(into, digits);
}

/* Whether it is of a file, and read-only and shared as the shim maps the page: "r--s", skipped, `key`. */
static bool is_of(const struct mapping *mapping, const struct text *key) {
  const char *at = mapping->start, *end = at + mapping->used;
  while (at < end && *at != ' ') at++;
  if (end - at < 7 || memcmp(at, " r--s ", 6) != 0) return false;
  for (at += 6; at < end && *at != ' ';) at++;
  size_t left = (size_t)(end - at);
  return left >= key->used && memcmp(at, key->bytes, key->used) == 0 && (left == key->used || at[key->used] == ' ');
}

/* How maps names the page: " 00:1a 4711". */
static bool key_of_page(const struct settings *of, struct text *key) {
  struct text path = {0};
  struct stat found;
  text_add(&path, of->root);
  text_add(&path, "/run/offbus/page/ctl");
  int fd = raw_open(path.bytes, O_PATH | O_NOFOLLOW);
  bool is_seen = fd >= 0 && raw_stat(fd, &found);
  if (fd >= 0) raw_close(fd);
  if (!is_seen) return false;
  uint64_t device = found.st_dev; /* as glibc's major() and minor() take it apart */
  text_add(key, " ");
  add_hex(key, (uint32_t)((device >> 8 & 0xfff) | (device >> 32 & ~0xfffull)));
  text_add(key, ":");
  add_hex(key, (uint32_t)((device & 0xff) | (device >> 12 & ~0xffull)));
  text_add(key, " ");
  text_add_number(key, found.st_ino, 1);
  return true;
}

void process_maps_page(const struct settings *of, uint32_t pid, uint32_t most, struct offbus_answer *answer) {
  struct text key = {0};
  struct mapping mapping = {0, {0}};
  int fd = key_of_page(of, &key) ? open_file(pid, "maps", O_RDONLY) : -ENOENT;
  if (most > MOST_OF_MAPPINGS) most = MOST_OF_MAPPINGS;
  for (long got; fd >= 0 && !answer->number && (got = raw_read(fd, chunk, sizeof chunk)) > 0;) {
    answer->seq += (uint64_t)got;
    for (long i = 0; i < got && !answer->number; i++) {
      if (chunk[i] == '\n') answer->number = is_of(&mapping, &key), mapping.used = 0;
      else if (mapping.used < sizeof mapping.start) mapping.start[mapping.used++] = chunk[i];
    }
    if (!answer->number && answer->seq >= most) {
      answer->status = OFFBUS_TOO_LONG;
      break;
    }
  }
  if (fd >= 0) raw_close(fd);
  else answer->status = OFFBUS_NOT_FOUND;
}

/* Opened below another process's root without following links: one could lead back to our own files. */
static int open_below(int folder, char *path) {
  while (folder >= 0) {
    while (*path == '/') path++;
    char *end = path;
    while (*end && *end != '/') end++;
    bool is_last = !end[0] || !end[1];
    *end = 0;
    bool is_up = path[0] == '.' && (!path[1] || (path[1] == '.' && !path[2]));
    int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC | (is_last ? 0 : O_DIRECTORY);
    int next = is_up || !*path ? -EINVAL : (int)raw_call(SYS_openat, folder, (long)path, flags, 0, 0, 0);
    raw_close(folder);
    if (is_last) return next;
    folder = next, path = end + 1;
  }
  return folder;
}

static bool is_same_file(int fd, const struct stat *other) {
  struct stat found;
  bool is_same = fd >= 0 && raw_stat(fd, &found) && found.st_dev == other->st_dev && found.st_ino == other->st_ino;
  if (fd >= 0) raw_close(fd);
  return is_same;
}

void process_reads_metadata(const struct settings *of, const struct offbus_ask_metadata *ask,
                            struct offbus_answer *answer) {
  struct text ours = {0}, path = {0}, own = {0}, theirs = {0};
  struct stat wanted;
  answer->status = OFFBUS_MALFORMED;
  if (ask->zero || !ask->pid || !is_filled_text(ask->path, sizeof ask->path) || ask->path[0] != '/') return;
  answer->status = OFFBUS_NOT_FOUND;
  text_add(&ours, of->root);
  text_add(&ours, METADATA);
  text_add(&path, ask->path);
  int fd = raw_open(ours.bytes, O_PATH);
  bool is_seen = fd >= 0 && raw_stat(fd, &wanted);
  if (fd >= 0) raw_close(fd);
  if (!is_seen || !read_link(ask->pid, "ns/mnt", &theirs)) return;
  bool is_here = raw_readlink(PROC "self/ns/mnt", own.bytes, sizeof own.bytes - 1) > 0 &&
                 text_equal(own.bytes, theirs.bytes);
  fd = is_here ? raw_open(path.bytes, O_PATH)
               : open_below(open_file(ask->pid, "root", O_PATH | O_DIRECTORY), path.bytes);
  answer->number = is_same_file(fd, &wanted);
  answer->status = OFFBUS_DONE;
}
