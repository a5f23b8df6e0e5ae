/* The GPUs of the stand-in driver: read from a text file, filtered as a container runtime and CUDA would.
 *
 * OFFBUS_STANDIN_GPUS names the file, one GPU per line: `GPU-<uuid> <dddd:bb:dd.f> <bytes> <name…>`. Only those in
 * NVIDIA_VISIBLE_DEVICES exist (UUIDs or indices; `all`; `void`, `none` or empty: none; not set: all, as on a node
 * without a container). Malformed lines are left out and reported on stderr.
 */
#ifndef OFFBUS_FLEET_H
#define OFFBUS_FLEET_H

#include <stddef.h>
#include <stdint.h>

enum { FLEET_MAX = 16 };

struct fleet_gpu {
  uint8_t uuid[16];
  char uuid_text[48]; /* GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx */
  unsigned pci_domain, pci_bus, pci_device, pci_function;
  uint64_t memory; /* bytes */
  char name[96];
  unsigned index; /* on the node: the line's number from 0 */
};

/* Reads the GPUs that this process may have into `into` (FLEET_MAX); returns how many. */
unsigned fleet_read(struct fleet_gpu *into);

/* Filters and reorders by CUDA_VISIBLE_DEVICES (ordinals or UUID prefixes; the first invalid one ends the list). */
unsigned fleet_narrow_for_cuda(struct fleet_gpu *gpus, unsigned n);

#endif
