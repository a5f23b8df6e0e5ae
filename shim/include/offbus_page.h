/* The two files between the agent and the processes of a node: `ctl` and `events`.
 *
 * `ctl` is written only by the agent and mapped read-only by every process under the shim: created once with a fixed
 * size and then written over, because a renamed file leaves old mappings stale for ever and a truncated one kills its
 * readers with SIGBUS. `events` is written by those processes and not trusted by the agent; it is never mapped (only
 * pread and pwrite), so a process that truncates it cannot harm others.
 *
 * All numbers are little-endian, in natural alignment. Times are nanoseconds of CLOCK_BOOTTIME. The Python side is
 * offbus_agent/page/abi.py; tests/shim compares the two. A reader refuses another major version; a higher minor
 * version only gives meaning to bytes that were reserved (zero).
 */
#ifndef OFFBUS_PAGE_H
#define OFFBUS_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define OFFBUS_ABI_MAJOR 1
#define OFFBUS_ABI_MINOR 1
#define OFFBUS_CTL_MAGIC 0x4c54434fu    /* "OCTL" */
#define OFFBUS_EVENTS_MAGIC 0x5456454fu /* "OEVT" */
#define OFFBUS_CTL_SIZE 4096
#define OFFBUS_SLOTS 16
#define OFFBUS_EVENTS_SIZE 131072
#define OFFBUS_ROWS 511
#define OFFBUS_FAULT_ID_SIZE 40
#define OFFBUS_FUNCTION_SIZE 48
#define OFFBUS_PPM_ALWAYS 1000000u

/* A slot's `flags`. */
enum {
  OFFBUS_ENABLED = 1,        /* the slot is in use */
  OFFBUS_STICKY = 2,         /* once a call of a process failed, all except meta calls on that GPU fail too */
  OFFBUS_NEW_PROCS = 4,      /* processes that start after `armed_at_ns` are faulted too */
  OFFBUS_SURVIVE_DISARM = 8, /* stickiness lasts until the process ends, as on real hardware */
  OFFBUS_HAS_PCI = 16        /* `pci_*` are set; used for a GPU whose UUID cannot be read */
};

/* What happens to a faulted call. */
enum {
  OFFBUS_MODE_ERROR = 0, /* it returns the slot's code */
  OFFBUS_MODE_HANG = 1,  /* it does not return before the fault is over; then it is made */
  OFFBUS_MODE_DELAY = 2, /* it is made `delay_us` later */
  OFFBUS_MODE_LOST = 3   /* as error; handles are not returned, real frees are not called */
};

/* Classes of functions (functions.def), bits of `class_mask`. Meta functions have no bit: they are never faulted. */
enum {
  OFFBUS_CLASS_LAUNCH = 1 << 0,
  OFFBUS_CLASS_COPY = 1 << 1,
  OFFBUS_CLASS_ALLOC = 1 << 2,
  OFFBUS_CLASS_SYNC = 1 << 3,
  OFFBUS_CLASS_EVENT = 1 << 4,
  OFFBUS_CLASS_STREAM = 1 << 5,
  OFFBUS_CLASS_CTX = 1 << 6,
  OFFBUS_CLASS_INIT = 1 << 7,
  OFFBUS_CLASS_MODULE = 1 << 8,
  OFFBUS_CLASS_GRAPH = 1 << 9,
  OFFBUS_CLASS_NVML = 1 << 10
};

/* One fault on one GPU, or on all. */
struct offbus_slot {
  uint8_t uuid[16]; /* all zero and no OFFBUS_HAS_PCI: every GPU of the node */
  uint32_t pci_domain;
  uint8_t pci_bus;
  uint8_t pci_device;
  uint16_t flags;
  uint32_t generation; /* the arming that it belongs to; a process's counters and stickiness end with it */
  uint32_t mode;
  int32_t cuda_err; /* CUresult; 0 = CUDA driver calls are not faulted (modes error and lost) */
  int32_t nvml_err; /* nvmlReturn_t; 0 = NVML calls are not faulted (modes error and lost) */
  uint32_t class_mask;
  uint32_t delay_us;
  uint32_t after_calls; /* this many matching calls of a process succeed first */
  uint32_t ppm;         /* share of the calls, in parts per million; `seed` and the call's number select them */
  uint64_t seed;
  uint64_t armed_at_ns;
  uint64_t expires_ns; /* 0 = only the heartbeat limits it */
  char fault_id[OFFBUS_FAULT_ID_SIZE]; /* NUL-terminated */
  /* Since 1.1: what NVML shows of the fault besides its code. 0 = the driver's own; numbers are added to its own. */
  uint32_t xid;             /* nvmlEventSetWait reports it to registrations for critical XIDs from before the fault was armed */
  uint32_t recovery_action; /* field 230: 1 GPU reset, 2 node reboot, 3 drain P2P, 4 drain and reset … */
  uint32_t nvml_events;     /* more event types that it raises, such as 0x2 (double bit ECC), 0x8000 (recovery action) */
  uint32_t remapped_correctable;
  uint32_t remapped_uncorrectable;
  uint8_t remap_pending;
  uint8_t remap_failed;
  uint16_t unused;
  uint32_t ecc_corrected;
  uint32_t ecc_uncorrected;
  uint8_t reserved[40];
};

struct offbus_ctl {
  uint32_t armed; /* the only word of the fast path: 0 = nothing is armed, else the newest generation */
  uint32_t magic;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t size;
  uint32_t seq; /* odd while the agent writes slots; a reader copies and checks that it has not changed */
  uint32_t nslots;
  uint64_t boot_id_hash; /* FNV-1a 64 of the boot id's 36 characters; a page of another boot is ignored */
  uint64_t heartbeat_ns;
  uint64_t heartbeat_ttl_ns; /* an older heartbeat counts as disarmed */
  uint32_t generation;       /* the last one used; never decreases */
  uint8_t reserved[76];
  struct offbus_slot slots[OFFBUS_SLOTS];
  uint8_t tail[OFFBUS_CTL_SIZE - 128 - OFFBUS_SLOTS * 192];
};

/* A record's state; it is written once, and only a complete one is evidence. */
enum { OFFBUS_RECORD_NONE = 0, OFFBUS_RECORD_WRITING = 1, OFFBUS_RECORD_COMPLETE = 2 };

/* The first faulted call of a process in a generation, of the CUDA driver or of NVML. */
struct offbus_record {
  uint32_t state;
  int32_t code; /* what the call returned; 0 in the modes hang and delay */
  int32_t pid;  /* as seen in the process's own pid namespace, like `tid` */
  int32_t tid;
  uint64_t at_ns;
  uint32_t slot;
  uint32_t reserved;
  uint8_t gpu_uuid[16]; /* of the GPU that the call was for; zero when it is not known */
  char function[OFFBUS_FUNCTION_SIZE];
};

/* One process's calls in one generation. A process takes a row that is free, or of a generation that is over, while it
 * holds an open-file-description lock on the header; when all are in use, its calls are faulted all the same, but not
 * recorded. */
struct offbus_row {
  uint64_t owner; /* 0 = free */
  int32_t pid;
  uint32_t generation;
  uint64_t pid_namespace; /* inode of /proc/self/ns/pid */
  uint64_t start_ns;
  uint64_t intercepted; /* calls on the fault's GPU while armed, except meta calls */
  uint64_t faulted;     /* of these, the calls that were changed */
  struct offbus_record cuda;
  struct offbus_record nvml;
  uint8_t reserved[16];
};

struct offbus_events {
  uint32_t doorbell; /* unused since 1.1: records are written with pwrite(2), which wakes inotify by itself */
  uint32_t magic;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t size;
  uint32_t nrows;
  uint32_t row_size;
  uint8_t reserved[232];
  struct offbus_row rows[OFFBUS_ROWS];
};

#define OFFBUS_AT(type, member, at) _Static_assert(offsetof(struct type, member) == (at), #type "." #member)
OFFBUS_AT(offbus_slot, uuid, 0);
OFFBUS_AT(offbus_slot, pci_domain, 16);
OFFBUS_AT(offbus_slot, pci_bus, 20);
OFFBUS_AT(offbus_slot, pci_device, 21);
OFFBUS_AT(offbus_slot, flags, 22);
OFFBUS_AT(offbus_slot, generation, 24);
OFFBUS_AT(offbus_slot, mode, 28);
OFFBUS_AT(offbus_slot, cuda_err, 32);
OFFBUS_AT(offbus_slot, nvml_err, 36);
OFFBUS_AT(offbus_slot, class_mask, 40);
OFFBUS_AT(offbus_slot, delay_us, 44);
OFFBUS_AT(offbus_slot, after_calls, 48);
OFFBUS_AT(offbus_slot, ppm, 52);
OFFBUS_AT(offbus_slot, seed, 56);
OFFBUS_AT(offbus_slot, armed_at_ns, 64);
OFFBUS_AT(offbus_slot, expires_ns, 72);
OFFBUS_AT(offbus_slot, fault_id, 80);
OFFBUS_AT(offbus_slot, xid, 120);
OFFBUS_AT(offbus_slot, recovery_action, 124);
OFFBUS_AT(offbus_slot, nvml_events, 128);
OFFBUS_AT(offbus_slot, remapped_correctable, 132);
OFFBUS_AT(offbus_slot, remapped_uncorrectable, 136);
OFFBUS_AT(offbus_slot, remap_pending, 140);
OFFBUS_AT(offbus_slot, remap_failed, 141);
OFFBUS_AT(offbus_slot, unused, 142);
OFFBUS_AT(offbus_slot, ecc_corrected, 144);
OFFBUS_AT(offbus_slot, ecc_uncorrected, 148);
OFFBUS_AT(offbus_slot, reserved, 152);
OFFBUS_AT(offbus_ctl, armed, 0);
OFFBUS_AT(offbus_ctl, magic, 4);
OFFBUS_AT(offbus_ctl, abi_major, 8);
OFFBUS_AT(offbus_ctl, abi_minor, 10);
OFFBUS_AT(offbus_ctl, size, 12);
OFFBUS_AT(offbus_ctl, seq, 16);
OFFBUS_AT(offbus_ctl, nslots, 20);
OFFBUS_AT(offbus_ctl, boot_id_hash, 24);
OFFBUS_AT(offbus_ctl, heartbeat_ns, 32);
OFFBUS_AT(offbus_ctl, heartbeat_ttl_ns, 40);
OFFBUS_AT(offbus_ctl, generation, 48);
OFFBUS_AT(offbus_ctl, slots, 128);
OFFBUS_AT(offbus_record, state, 0);
OFFBUS_AT(offbus_record, code, 4);
OFFBUS_AT(offbus_record, pid, 8);
OFFBUS_AT(offbus_record, tid, 12);
OFFBUS_AT(offbus_record, at_ns, 16);
OFFBUS_AT(offbus_record, slot, 24);
OFFBUS_AT(offbus_record, gpu_uuid, 32);
OFFBUS_AT(offbus_record, function, 48);
OFFBUS_AT(offbus_row, owner, 0);
OFFBUS_AT(offbus_row, pid, 8);
OFFBUS_AT(offbus_row, generation, 12);
OFFBUS_AT(offbus_row, pid_namespace, 16);
OFFBUS_AT(offbus_row, start_ns, 24);
OFFBUS_AT(offbus_row, intercepted, 32);
OFFBUS_AT(offbus_row, faulted, 40);
OFFBUS_AT(offbus_row, cuda, 48);
OFFBUS_AT(offbus_row, nvml, 144);
OFFBUS_AT(offbus_row, reserved, 240);
OFFBUS_AT(offbus_events, doorbell, 0);
OFFBUS_AT(offbus_events, magic, 4);
OFFBUS_AT(offbus_events, abi_major, 8);
OFFBUS_AT(offbus_events, abi_minor, 10);
OFFBUS_AT(offbus_events, size, 12);
OFFBUS_AT(offbus_events, nrows, 16);
OFFBUS_AT(offbus_events, row_size, 20);
OFFBUS_AT(offbus_events, rows, 256);
_Static_assert(sizeof(struct offbus_slot) == 192, "a slot");
_Static_assert(sizeof(struct offbus_ctl) == OFFBUS_CTL_SIZE, "ctl");
_Static_assert(sizeof(struct offbus_record) == 96, "a record");
_Static_assert(sizeof(struct offbus_row) == 256, "a row");
_Static_assert(sizeof(struct offbus_events) == OFFBUS_EVENTS_SIZE, "events");
#undef OFFBUS_AT

#endif
