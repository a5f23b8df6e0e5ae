/* Which GPU a call is for, queried from the real driver and cached.
 *
 * A CUDA call is for the device of the stream, context or CUdevice that it names, else of the current context; an NVML
 * call for that of its handle. (An event has no query for it: calls on one count for the current context.) Ordinals
 * differ from process to process (CUDA_VISIBLE_DEVICES), so a GPU is identified by its UUID, and by its PCI address
 * where the UUID cannot be read. For a MIG device both UUIDs count: its own and its parent's.
 */
#include "shim.h"

enum { REMEMBERED = 64 };

static uint32_t lock;
static struct memory {
  unsigned used;
  struct {
    uint64_t key;
    struct gpu gpu;
  } of[REMEMBERED];
} cuda, nvml;

static uint64_t call_listed(uint32_t index, uint64_t a, uint64_t b, uint64_t c) {
  const uint64_t args[6] = {a, b, c};
  void *real = bound(index);
  return real ? (uint32_t)call_real(real, args) : 1;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t read_hex(const char **text) {
  uint32_t value = 0;
  for (int digit; (digit = hex_digit(**text)) >= 0; (*text)++) value = value * 16 + (uint32_t)digit;
  return value;
}

/* "0000:3b:00.0" */
static void read_pci(const char *text, struct gpu *gpu) {
  gpu->pci_domain = read_hex(&text);
  if (*text++ != ':') return;
  gpu->pci_bus = (uint8_t)read_hex(&text);
  if (*text++ != ':') return;
  gpu->pci_device = (uint8_t)read_hex(&text);
  gpu->has_pci = true;
}

/* "GPU-5d1d9a3e-…" or "MIG-…": 32 hexadecimal digits among dashes. */
static void read_uuid(const char *text, struct gpu *gpu) {
  unsigned digits = 0;
  for (text += 4; *text && digits < 32; text++) {
    int digit = hex_digit(*text);
    if (digit < 0) continue;
    gpu->uuid[digits / 2] = (uint8_t)(gpu->uuid[digits / 2] << 4 | digit);
    digits++;
  }
  gpu->has_uuid = digits == 32;
}

static struct gpu ask_cuda(int ordinal) {
  char pci[32] = "";
  struct gpu gpu = {.known = true, .ordinal = ordinal};
  uint64_t device = (uint64_t)(int64_t)ordinal;
  gpu.has_uuid = !call_listed(FN_cuDeviceGetUuid, (uint64_t)gpu.uuid, device, 0);
  if (call_listed(FN_cuDeviceGetUuid_v2, (uint64_t)gpu.instance_uuid, device, 0))
    memcpy(gpu.instance_uuid, gpu.uuid, sizeof gpu.uuid);
  if (!call_listed(FN_cuDeviceGetPCIBusId, (uint64_t)pci, sizeof pci, device)) read_pci(pci, &gpu);
  return gpu;
}

static struct gpu ask_nvml(uint64_t handle) {
  char uuid[96] = "";
  struct {
    char bus_id_legacy[16];
    uint32_t domain, bus, device, ids[2];
    char bus_id[32];
    uint32_t room[16];
  } pci = {0};
  struct gpu gpu = {.known = true, .ordinal = -1};
  if (!call_listed(FN_nvmlDeviceGetUUID, handle, (uint64_t)uuid, sizeof uuid) && text_length(uuid) > 4)
    read_uuid(uuid, &gpu);
  memcpy(gpu.instance_uuid, gpu.uuid, sizeof gpu.uuid);
  if (!call_listed(FN_nvmlDeviceGetPciInfo_v3, handle, (uint64_t)&pci, 0)) {
    gpu.pci_domain = pci.domain, gpu.pci_bus = (uint8_t)pci.bus, gpu.pci_device = (uint8_t)pci.device;
    gpu.has_pci = true;
  }
  return gpu;
}

static bool recall(const struct memory *memory, uint64_t key, struct gpu *gpu) {
  bool found = false;
  uint64_t mask = lock_take(&lock);
  for (unsigned i = 0; i < memory->used && !found; i++)
    if (memory->of[i].key == key) *gpu = memory->of[i].gpu, found = true;
  lock_give(&lock, mask);
  return found;
}

/* Only the driver's successful answers are cached; before cuInit or nvmlInit it has none. */
static void remember(struct memory *memory, uint64_t key, const struct gpu *gpu) {
  if (!gpu->has_uuid && !gpu->has_pci) return;
  uint64_t mask = lock_take(&lock);
  if (memory->used < REMEMBERED) {
    memory->of[memory->used].key = key;
    memory->of[memory->used++].gpu = *gpu;
  }
  lock_give(&lock, mask);
}

struct gpu gpu_cuda(int ordinal) {
  struct gpu gpu;
  if (recall(&cuda, (uint64_t)(uint32_t)ordinal, &gpu)) return gpu;
  gpu = ask_cuda(ordinal);
  remember(&cuda, (uint64_t)(uint32_t)ordinal, &gpu);
  return gpu;
}

struct gpu gpu_nvml(uint64_t handle) {
  struct gpu gpu;
  if (recall(&nvml, handle, &gpu)) return gpu;
  gpu = ask_nvml(handle);
  remember(&nvml, handle, &gpu);
  return gpu;
}

static const struct gpu nobody = {.ordinal = -1};

static struct gpu gpu_of_current(void) {
  int ordinal = -1;
  return call_listed(FN_cuCtxGetDevice, (uint64_t)&ordinal, 0, 0) ? nobody : gpu_cuda(ordinal);
}

/* CUDA 13 can query any context; older drivers only the current one. */
static struct gpu gpu_of_context(uint64_t context) {
  int ordinal = -1;
  uint64_t popped;
  if (!context) return gpu_of_current();
  if (!call_listed(FN_cuCtxGetDevice_v2, (uint64_t)&ordinal, context, 0)) return gpu_cuda(ordinal);
  if (call_listed(FN_cuCtxPushCurrent_v2, context, 0, 0)) return nobody;
  struct gpu gpu = gpu_of_current();
  call_listed(FN_cuCtxPopCurrent_v2, (uint64_t)&popped, 0, 0);
  return gpu;
}

/* The null stream and the two that CUDA names by the numbers 1 and 2 are those of the current context. */
static struct gpu gpu_of_stream(uint64_t stream) {
  int ordinal = -1;
  uint64_t context = 0;
  if (stream <= 2) return gpu_of_current();
  if (!call_listed(FN_cuStreamGetDevice, stream, (uint64_t)&ordinal, 0)) return gpu_cuda(ordinal);
  return call_listed(FN_cuStreamGetCtx, stream, (uint64_t)&context, 0) ? gpu_of_current() : gpu_of_context(context);
}

/* CUlaunchConfig: seven 32-bit numbers, padding, then the stream. */
static uint64_t stream_in(uint64_t config) { return config ? *(const uint64_t *)(config + 32) : 0; }

/* Integer arguments past the registers are above slow.S's frame. */
static uint64_t argument_at(const uint64_t *args, unsigned n) {
#if defined(__x86_64__)
  return args[n < 6 ? n : n + 2];
#else
  return args[n < 8 ? n : n + 16];
#endif
}

struct gpu gpu_of(const struct function *f, const uint64_t *args) {
  uint64_t argument = argument_at(args, f->device_argument);
  if (f->device == DEVICE_CTX) return gpu_of_current();
  if (f->device == DEVICE_CONTEXT) return gpu_of_context(argument);
  if (f->device == DEVICE_STREAM) return gpu_of_stream(argument);
  if (f->device == DEVICE_CONFIG) return gpu_of_stream(stream_in(argument));
  if (f->device == DEVICE_DEV) return gpu_cuda((int)argument);
  if (f->device == DEVICE_NVML) return gpu_nvml(argument);
  return nobody;
}

static bool is_zero(const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i]) return false;
  return true;
}

bool gpu_matches(const struct offbus_slot *slot, const struct gpu *gpu) {
  bool by_uuid = !is_zero(slot->uuid, sizeof slot->uuid), by_pci = slot->flags & OFFBUS_HAS_PCI;
  if (!by_uuid && !by_pci) return true;
  if (!gpu->known) return false;
  if (by_uuid && gpu->has_uuid)
    return !memcmp(slot->uuid, gpu->uuid, sizeof gpu->uuid) ||
           !memcmp(slot->uuid, gpu->instance_uuid, sizeof gpu->instance_uuid);
  return by_pci && gpu->has_pci && slot->pci_domain == gpu->pci_domain && slot->pci_bus == gpu->pci_bus &&
         slot->pci_device == gpu->pci_device;
}
