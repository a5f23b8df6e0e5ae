/* What the kernel-log helper is asked over its socket, and what it answers: one packet each (SOCK_SEQPACKET).
 *
 * A connection is one question and one answer. A question has exactly the size of its kind; its texts end with a NUL,
 * and nothing but NULs follows. All numbers are little-endian, in natural alignment; times are nanoseconds of
 * CLOCK_BOOTTIME. The Python side is offbus_agent/kmsg_helper.py; tests/kmsg_helper compares the two. A question of
 * another version is refused. docs/reference/kernel-log-helper.md says what each question does, and who may ask.
 */
#ifndef OFFBUS_KMSG_H
#define OFFBUS_KMSG_H

#include <stddef.h>
#include <stdint.h>

#define OFFBUS_KMSG_MAGIC 0x534d4b4fu /* "OKMS" */
#define OFFBUS_KMSG_VERSION 1
#define OFFBUS_KMSG_LINE_LIMIT 900 /* bytes of one write, prefix and line end included */

enum offbus_kmsg_kind {
  OFFBUS_ASK_STATUS = 1, /* could a line be written now? */
  OFFBUS_ASK_XID = 2,    /* write the line of an XID, and read it back */
  OFFBUS_ASK_RESET = 3,  /* write the line of a GPU's reset, and read it back */
  OFFBUS_ASK_NAMESPACE = 4,
  OFFBUS_ASK_MAPS_PAGE = 5,
  OFFBUS_ASK_PRELOAD = 6,
  OFFBUS_ASK_EXECUTABLE = 7,
  OFFBUS_ASK_READS_METADATA = 8,
  OFFBUS_ASK_GIVE_POD = 9,
  OFFBUS_ASK_REMOVE_POD = 10
};

/* The start of a question; STATUS has nothing else. */
struct offbus_ask {
  uint32_t magic;
  uint16_t version, kind;
};

struct offbus_ask_xid {
  struct offbus_ask head;
  uint32_t xid, gpu; /* `gpu`: the index that some texts name */
  uint8_t dialect;   /* in the order of kernel_lines.h */
  uint8_t before_r575;
  uint8_t zero[2];
  char fault[64], pci[20];
};

struct offbus_ask_reset {
  struct offbus_ask head;
  char gpu[48]; /* its UUID */
};

/* NAMESPACE, PRELOAD, EXECUTABLE, and MAPS_PAGE, where no more than `most` bytes of its mappings are read. */
struct offbus_ask_process {
  struct offbus_ask head;
  uint32_t pid, most;
};

struct offbus_ask_metadata {
  struct offbus_ask head;
  uint32_t pid, zero;
  char path[4096]; /* where the process says that it reads the node's metadata file */
};

struct offbus_ask_pod {
  struct offbus_ask head;
  char uid[40];
  uint32_t most, zero; /* entries that are removed now */
};

enum offbus_kmsg_status {
  OFFBUS_DONE = 0,
  OFFBUS_STRANGER = 1,      /* another user than the one that is served */
  OFFBUS_MALFORMED = 2,     /* no question of this version; `number` tells the version that is spoken */
  OFFBUS_UNSAFE = 3,        /* a value would not be exactly one line, or names nothing */
  OFFBUS_UNKNOWN_XID = 4,   /* not in the catalogue */
  OFFBUS_STOPPED = 5,       /* the file `text` forbids every line */
  OFFBUS_TOO_MANY_LINES = 6, /* `number`: seconds until the next one may be written */
  OFFBUS_TOO_MANY_GPUS = 7, /* `number`: seconds, as above */
  OFFBUS_NOT_OPENED = 8,    /* `error`: errno of the log's open(2) */
  OFFBUS_NO_LOG = 9,        /* neither a character device nor a regular file, or none that holds records */
  OFFBUS_NOT_WRITTEN = 10,  /* `error`: errno of write(2); 0: `number` bytes only */
  OFFBUS_LOCKED = 11,       /* another writer holds the record file */
  OFFBUS_NOT_RETURNED = 12, /* written, and the log returns something else than records */
  OFFBUS_LOST = 13,         /* written, and not in the record file */
  OFFBUS_NOT_SEEN = 14,     /* written, and not read back in time */
  OFFBUS_NOT_FOUND = 15,    /* no such process, or it cannot be looked at; no such folder */
  OFFBUS_TOO_LONG = 16,     /* more than is read */
  OFFBUS_BUSY = 17,         /* questions that wait for a pod's file system are not answered */
  OFFBUS_OTHERS = 18,       /* the folder belongs to neither root nor the served user */
  OFFBUS_FAILED = 19        /* `error`: errno */
};

/* NAMESPACE: `number` is its inode. MAPS_PAGE: `number` 1 or 0, `seq` the bytes that were read. PRELOAD, EXECUTABLE:
 * `text`. READS_METADATA: `number` 1 or 0. REMOVE_POD: `number` 1 when nothing is left. STATUS: `seq` lines and
 * `number` GPUs that the budget has left, `at_ns` 1 for a device and 0 for a record file. XID and RESET: `seq`, `at_ns`, and the line in `text`. */
struct offbus_answer {
  uint32_t magic;
  uint16_t version, status;
  int32_t error;
  uint32_t length; /* of `text`, without its NUL */
  uint64_t number, seq, at_ns;
  char text[4096];
};

#endif
