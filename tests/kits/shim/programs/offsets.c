/* Prints the layout of the page as C sees it: "struct member offset", "sizeof struct size", "constant name value". */
#include "offbus_page.h"

#include <stdio.h>

#define MEMBER(type, member) printf("%s.%s %zu\n", #type, #member, offsetof(struct offbus_##type, member))
#define SIZE(type) printf("%s %zu\n", #type, sizeof(struct offbus_##type))
#define CONSTANT(name) printf("%s %llu\n", #name, (unsigned long long)OFFBUS_##name)

#define SLOT(F)                                                                                                      \
  F(uuid) F(pci_domain) F(pci_bus) F(pci_device) F(flags) F(generation) F(mode) F(cuda_err) F(nvml_err)              \
  F(class_mask) F(delay_us) F(after_calls) F(ppm) F(seed) F(armed_at_ns) F(expires_ns) F(fault_id)                 \
  F(xid) F(recovery_action) F(nvml_events) F(remapped_correctable) F(remapped_uncorrectable) F(remap_pending)          \
  F(remap_failed) F(unused) F(ecc_corrected) F(ecc_uncorrected) F(reserved)
#define CTL(F)                                                                                                       \
  F(armed) F(magic) F(abi_major) F(abi_minor) F(size) F(seq) F(nslots) F(boot_id_hash) F(heartbeat_ns)               \
  F(heartbeat_ttl_ns) F(generation) F(reserved) F(slots) F(tail)
#define RECORD(F) F(state) F(code) F(pid) F(tid) F(at_ns) F(slot) F(reserved) F(gpu_uuid) F(function)
#define ROW(F)                                                                                                       \
  F(owner) F(pid) F(generation) F(pid_namespace) F(start_ns) F(intercepted) F(faulted) F(cuda) F(nvml) F(reserved)
#define EVENTS(F) F(doorbell) F(magic) F(abi_major) F(abi_minor) F(size) F(nrows) F(row_size) F(reserved) F(rows)

#define SLOT_MEMBER(m) MEMBER(slot, m);
#define CTL_MEMBER(m) MEMBER(ctl, m);
#define RECORD_MEMBER(m) MEMBER(record, m);
#define ROW_MEMBER(m) MEMBER(row, m);
#define EVENTS_MEMBER(m) MEMBER(events, m);

int main(void) {
  SLOT(SLOT_MEMBER) CTL(CTL_MEMBER) RECORD(RECORD_MEMBER) ROW(ROW_MEMBER) EVENTS(EVENTS_MEMBER)
  SIZE(slot);
  SIZE(ctl);
  SIZE(record);
  SIZE(row);
  SIZE(events);
  CONSTANT(ABI_MAJOR);
  CONSTANT(ABI_MINOR);
  CONSTANT(CTL_MAGIC);
  CONSTANT(EVENTS_MAGIC);
  CONSTANT(SLOTS);
  CONSTANT(ROWS);
  CONSTANT(FAULT_ID_SIZE);
  CONSTANT(FUNCTION_SIZE);
  CONSTANT(PPM_ALWAYS);
  CONSTANT(RECORD_COMPLETE);
  CONSTANT(ENABLED);
  CONSTANT(STICKY);
  CONSTANT(NEW_PROCS);
  CONSTANT(SURVIVE_DISARM);
  CONSTANT(HAS_PCI);
  CONSTANT(MODE_ERROR);
  CONSTANT(MODE_HANG);
  CONSTANT(MODE_DELAY);
  CONSTANT(MODE_LOST);
  CONSTANT(CLASS_LAUNCH);
  CONSTANT(CLASS_COPY);
  CONSTANT(CLASS_ALLOC);
  CONSTANT(CLASS_SYNC);
  CONSTANT(CLASS_EVENT);
  CONSTANT(CLASS_STREAM);
  CONSTANT(CLASS_CTX);
  CONSTANT(CLASS_INIT);
  CONSTANT(CLASS_MODULE);
  CONSTANT(CLASS_GRAPH);
  CONSTANT(CLASS_NVML);
  return 0;
}
