/* The table of functions (generated from functions.def) and its constants. */
#ifndef OFFBUS_FUNCTIONS_H
#define OFFBUS_FUNCTIONS_H

#include <stdint.h>

#include "function_ids.h"
#include "offbus_page.h"

/* Entries that are not driver functions follow those of the table. */
enum { FN_dlsym = FUNCTIONS, FN_dlvsym, FN_dlopen };

/* Where a call's GPU is found; `device_argument` counts from 0. */
enum {
  DEVICE_NONE,
  DEVICE_CTX,     /* the current context's */
  DEVICE_CONTEXT, /* that of the CUcontext in an argument */
  DEVICE_STREAM,
  DEVICE_CONFIG, /* that of the stream in a CUlaunchConfig */
  DEVICE_ALL,
  DEVICE_DEV,
  DEVICE_NVML,
  DEVICE_OUT
};

enum { TRAIT_NONE, TRAIT_FREE, TRAIT_IDENTITY, TRAIT_HOOK, TRAIT_TEXT, TRAIT_TYPED, TRAIT_WATCH };

struct function {
  const char *name;
  void *entry; /* our thunk */
  uint32_t class_mask; /* 0 = meta */
  uint8_t device;
  uint8_t device_argument;
  uint8_t trait;
};

extern const struct function offbus_functions[FUNCTIONS];

/* The real functions, by index; null until the library is seen. Thunks jump through it. */
extern void *offbus_real[FUNCTIONS];

extern char entry_dlsym[], entry_dlvsym[], entry_dlopen[];

static inline int is_nvml(const struct function *f) { return f->name[0] == 'n'; }

#endif
