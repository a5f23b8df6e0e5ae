/* Fuzzes what the kernel-log helper is asked: any packet, as it is and with its head made right.
 *
 * What follows the right packet is what process 7 has in its maps and its environment. A promise: a line in the log is
 * exactly one record of printable characters, written only when the answer says so, and answers are texts. The node is
 * the folder OFFBUS_FUZZ_ROOT, with a /proc of its own.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "budget.c"

static struct settings settings = {
    .lines_per_hour = MOST_LINES_PER_HOUR, .gpus = MOST_GPUS, .stop_files = {NULL}};
static char root[512], log_path[600];
static long log_size;

static const unsigned short sizes[] = {
    0,
    sizeof(struct offbus_ask),
    sizeof(struct offbus_ask_xid),
    sizeof(struct offbus_ask_reset),
    sizeof(struct offbus_ask_process),
    sizeof(struct offbus_ask_process),
    sizeof(struct offbus_ask_process),
    sizeof(struct offbus_ask_process),
    sizeof(struct offbus_ask_metadata),
    sizeof(struct offbus_ask_pod),
    sizeof(struct offbus_ask_pod),
};

static void write_file(const char *path, const void *content, size_t size) {
  FILE *file = fopen(path, "w");
  assert(file && fwrite(content, 1, size, file) == size && fclose(file) == 0);
}

/* A pod's folder, with something in it that was left there. */
static void make_pod(void) {
  static const char *const folders[] = {"", "/a", "/a/b", "/a/b/c"};
  char path[256];
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    snprintf(path, sizeof path, "run/offbus/events/0a1b2c3d-0000-4000-8000-000000000001%s", folders[i]);
    mkdir(path, 0700);
  }
}

static void start(void) {
  const char *given = getenv("OFFBUS_FUZZ_ROOT");
  assert(given && strlen(given) < sizeof root);
  strcpy(root, given);
  snprintf(log_path, sizeof log_path, "%s/kmsg", root);
  settings.root = root, settings.log = log_path, settings.uid = getuid(), settings.gid = getgid();
  assert(chdir(root) == 0 && (mkdir("proc", 0700), mkdir("proc/7", 0700), mkdir("proc/7/ns", 0700)) == 0);
  assert(symlink("pid:[4026531836]", "proc/7/ns/pid") == 0 && symlink("/bin/syslog-health-monitor", "proc/7/exe") == 0);
  write_file("kmsg", NULL, 0);
  assert(folders_make(&settings));
}

/* What was added to the log since is one record, or nothing. */
static void look(unsigned kind, const struct offbus_answer *answer) {
  static char added[8192];
  FILE *file = fopen(log_path, "r");
  assert(file && fseek(file, log_size, SEEK_SET) == 0);
  size_t size = fread(added, 1, sizeof added, file);
  fclose(file);
  log_size += (long)size;
  assert((size > 0) == ((kind == OFFBUS_ASK_XID || kind == OFFBUS_ASK_RESET) && answer->status == OFFBUS_DONE));
  for (size_t i = 0; i + 1 < size; i++) assert(added[i] >= ' ' && added[i] <= '~' && added[i] != '\\');
  if (size) assert(added[size - 1] == '\n' && size < 1000 && strstr(added, answer->text));
  assert(answer->length < sizeof answer->text && answer->length == strlen(answer->text));
}

static void ask(const unsigned char *data, size_t size) {
  struct offbus_answer answer;
  struct offbus_ask_metadata *packet = malloc(size ? size : 1); /* as large as it is, for the sanitizer */
  memcpy(packet, data, size);
  unsigned kind = size >= sizeof(struct offbus_ask) ? packet->head.kind : 0;
  if (!answer_to(&settings, packet, size, &answer)) answer_slowly(&settings, packet, &answer);
  look(kind, &answer);
  free(packet);
  if (log_size < 1 << 20) return;
  assert(truncate(log_path, 0) == 0);
  log_size = 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  static struct offbus_ask_metadata right;
  if (!settings.root) start();
  count = 0, memset(gpus, 0, sizeof gpus); /* a new hour */
  ask(data, size);
  memset(&right, 0, sizeof right);
  memcpy(&right, data, size < sizeof right ? size : sizeof right);
  right.head.magic = OFFBUS_KMSG_MAGIC, right.head.version = OFFBUS_KMSG_VERSION;
  right.head.kind = (unsigned short)(right.head.kind % (sizeof sizes / sizeof *sizes));
  size_t used = sizes[right.head.kind];
  if (used == sizeof(struct offbus_ask_process)) {
    right.pid = 7;
    write_file("proc/7/maps", data + (used < size ? used : size), used < size ? size - used : 0);
    write_file("proc/7/environ", data + (used < size ? used : size), used < size ? size - used : 0);
  }
  if (used == sizeof(struct offbus_ask_pod)) make_pod();
  ask((unsigned char *)&right, sizes[right.head.kind]);
  return 0;
}
