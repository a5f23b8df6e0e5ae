/* Decides which calls a fault answers, with which of its two codes, and says on stderr which was the first.
 *
 * It is asked while something is armed, or when the real function of a call is not known yet.
 *
 * Meta functions are never faulted: cudart checks the driver's version, devices and tables while it initialises
 * (docs/shim.md). The exception is mode lost, in which NVML does not return the lost GPU's handle.
 */
#include "raw.h"
#include "shim.h"

enum { CUDA_LIBRARY_MISSING = 303, NVML_LIBRARY_MISSING = 12, NAP_NS = 20000000 };

struct call {
  const struct function *f;
  void *real;
  uint64_t *args;
  struct gpu gpu;
  struct situation now;
};

/* The result without the shim: no such library. */
static struct verdict absent(const struct function *f) {
  if (f->trait == TRAIT_TEXT) return answer((uint64_t) "the NVML library was not found");
  return answer(is_nvml(f) ? NVML_LIBRARY_MISSING : CUDA_LIBRARY_MISSING);
}

static int32_t code_of(const struct fault *fault, const struct function *f) {
  return is_nvml(f) ? fault->slot.nvml_err : fault->slot.cuda_err;
}

static bool answers_codes(const struct fault *fault) {
  return fault->slot.mode == OFFBUS_MODE_ERROR || fault->slot.mode == OFFBUS_MODE_LOST;
}

/* Whether the fault applies to this process, this GPU and this library at all. */
static bool concerns(const struct fault *fault, const struct call *call) {
  const struct offbus_slot *slot = &fault->slot;
  if (call->now.self.start_ns >= slot->armed_at_ns && !(slot->flags & OFFBUS_NEW_PROCS)) return false;
  if (answers_codes(fault) && !code_of(fault, call->f)) return false;
  return gpu_matches(slot, &call->gpu);
}

static bool in_class(const struct fault *fault, const struct function *f) {
  if (f->trait != TRAIT_IDENTITY) return fault->slot.class_mask & f->class_mask;
  return fault->slot.mode == OFFBUS_MODE_LOST && fault->slot.class_mask & OFFBUS_CLASS_NVML;
}

static uint64_t scatter(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static bool chosen(const struct fault *fault) {
  uint64_t number = process_next_call(fault);
  if (number < fault->slot.after_calls) return false;
  if (fault->slot.ppm >= OFFBUS_PPM_ALWAYS) return true;
  return scatter(fault->slot.seed + number) % OFFBUS_PPM_ALWAYS < fault->slot.ppm;
}

static void announce(const struct fault *fault, const struct function *f, int32_t code) {
  struct line line = {0};
  if (!process_first_fault()) return;
  line_add(&line, "offbus: drill ");
  line_add(&line, fault->slot.fault_id);
  line_add(&line, ": ");
  line_add(&line, f->name);
  if (answers_codes(fault)) {
    line_add(&line, " answers ");
    line_add_number(&line, code);
  } else {
    line_add(&line, fault->slot.mode == OFFBUS_MODE_HANG ? " hangs" : " is delayed");
  }
  line_add(&line, " (a rehearsed GPU fault, not a real one)");
  line_say(&line);
}

static void nap_while_in_force(const struct fault *fault, uint64_t until_ns) {
  for (uint64_t now; (now = raw_now_ns()) < until_ns && page_in_force(fault);)
    raw_sleep_ns(until_ns - now < NAP_NS ? until_ns - now : NAP_NS);
}

/* A faulted free still frees, so that a process that continues does not leak; a lost GPU is unreachable. */
static struct verdict fail(const struct call *call, int32_t code, bool lost) {
  if (call->f->trait == TRAIT_FREE && !lost) call_real(call->real, call->args);
  return answer((uint32_t)code);
}

static struct verdict perform(const struct fault *fault, const struct call *call) {
  uint64_t until = UINT64_MAX;
  if (answers_codes(fault)) return fail(call, code_of(fault, call->f), fault->slot.mode == OFFBUS_MODE_LOST);
  if (fault->slot.mode == OFFBUS_MODE_DELAY) until = raw_now_ns() + fault->slot.delay_us * 1000ull;
  if (fault->slot.mode == OFFBUS_MODE_DELAY || fault->slot.mode == OFFBUS_MODE_HANG) nap_while_in_force(fault, until);
  return jump_to(call->real);
}

static bool sticks(const struct fault *fault, const struct call *call) {
  return fault->slot.flags & OFFBUS_STICKY && answers_codes(fault) && !is_nvml(call->f);
}

/* Whether this call is one of those that the fault changes. */
static bool strikes(const struct fault *fault, const struct call *call) {
  if (sticks(fault, call) && process_sticky(fault, &call->gpu)) return true;
  return in_class(fault, call->f) && chosen(fault);
}

/* Signals are blocked: a handler that jumps away would leave a stickiness that no thunk checks after the disarm. */
static void stick(const struct fault *fault, const struct gpu *gpu) {
  uint64_t mask = raw_block_signals();
  if (process_stick(fault, gpu)) page_keep_armed();
  raw_restore_signals(mask);
}

static void note(const struct fault *fault, const struct call *call) {
  int32_t code = answers_codes(fault) ? code_of(fault, call->f) : 0;
  if (sticks(fault, call)) stick(fault, &call->gpu);
  events_note(fault, call->f, &call->now, true, &call->gpu, code);
  announce(fault, call->f, code);
}

/* The first fault that applies, recorded; null when the call passes. */
static const struct fault *struck(const struct call *call) {
  for (unsigned i = 0; i < call->now.n; i++) {
    const struct fault *fault = &call->now.faults[i];
    if (!concerns(fault, call)) continue;
    if (strikes(fault, call)) {
      note(fault, call);
      return fault;
    }
    if (call->f->class_mask) events_note(fault, call->f, &call->now, false, &call->gpu, 0);
  }
  return NULL;
}

static bool forbids_start(const struct fault *fault, const struct call *call) {
  return fault->slot.flags & OFFBUS_NEW_PROCS && answers_codes(fault) && concerns(fault, call) &&
         in_class(fault, call->f);
}

/* Whether the faults take away every GPU that the process would see; call->gpu is then the last one. */
static bool no_gpu_left(struct call *call) {
  int count = 0;
  const uint64_t args[6] = {(uint64_t)&count};
  void *get_count = bound(FN_cuDeviceGetCount);
  if (!get_count || (uint32_t)call_real(get_count, args)) return false;
  for (int ordinal = 0; ordinal < count; ordinal++) {
    bool forbidden = false;
    call->gpu = gpu_cuda(ordinal);
    for (unsigned i = 0; i < call->now.n && !forbidden; i++) forbidden = forbids_start(&call->now.faults[i], call);
    if (!forbidden) return false;
  }
  return count > 0;
}

/* cuInit fails only for a process that has no GPU left: the driver is called first. */
static struct verdict decide_init(struct call *call) {
  uint32_t code = (uint32_t)call_real(call->real, call->args);
  if (code || !no_gpu_left(call)) return answer(code);
  const struct fault *fault = struck(call);
  return answer(fault && answers_codes(fault) ? (uint32_t)fault->slot.cuda_err : code);
}

/* NVML stores a handle: the GPU is known only after the call. */
static struct verdict decide_handle(struct call *call) {
  uint32_t code = (uint32_t)call_real(call->real, call->args);
  const uint64_t *handle = (const uint64_t *)call->args[call->f->device_argument];
  if (code || !handle) return answer(code);
  call->gpu = gpu_nvml(*handle);
  const struct fault *fault = struck(call);
  return answer(fault && answers_codes(fault) ? (uint32_t)fault->slot.nvml_err : code);
}

static uint32_t index_of(const struct function *f) { return (uint32_t)(f - offbus_functions); }

/* The call as the program meant it. */
static struct verdict pass(const struct function *f, void *real, uint64_t *args) {
  return f->trait == TRAIT_WATCH ? answer(nvml_watch(index_of(f), real, args)) : jump_to(real);
}

static struct verdict decide(struct call *call) {
  int32_t code = 0;
  bool lost = false;
  if (call->f->device == DEVICE_ALL) return decide_init(call);
  if (call->f->device == DEVICE_OUT) return decide_handle(call);
  call->gpu = gpu_of(call->f, call->args);
  if (!is_nvml(call->f) && process_survives(&call->gpu, &code, &lost)) return fail(call, code, lost);
  const struct fault *fault = struck(call);
  if (fault) return perform(fault, call);
  if (call->f->trait != TRAIT_TYPED) return pass(call->f, call->real, call->args);
  uint64_t status = call_real(call->real, call->args);
  if (!(uint32_t)status) nvml_adjust(index_of(call->f), call->args, &call->gpu, &call->now);
  return answer(status);
}

/* A forked child starts with empty state, so its thunks follow the page again; unless another of its threads has met a
 * fault that survives since process_notice() returned. */
static void notice_fork(void) {
  if (!process_notice()) return;
  page_follow();
  if (process_any_survives()) page_keep_armed();
}

struct verdict offbus_dispatch(uint32_t index, uint64_t *args);

/* Called by slow.S for every call that did not take the fast path. */
__attribute__((visibility("hidden"))) struct verdict offbus_dispatch(uint32_t index, uint64_t *args) {
  if (index >= FUNCTIONS) return dl_hook(index, args);
  const struct function *f = &offbus_functions[index];
  void *real = bound(index);
  if (!real) return absent(f);
  if (f->trait == TRAIT_HOOK) return get_proc_address(index, args);
  notice_fork();
  if (!f->class_mask && f->trait != TRAIT_IDENTITY) return pass(f, real, args);
  struct call call; /* big, so not cleared */
  call.now.n = page_faults(call.now.faults);
  if (!call.now.n && !process_any_survives()) return pass(f, real, args);
  call.now.self = process_self();
  call.f = f, call.real = real, call.args = args;
  call.gpu = (struct gpu){.ordinal = -1};
  return decide(&call);
}
