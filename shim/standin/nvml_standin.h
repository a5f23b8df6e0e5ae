/* The stand-in NVML: identity, memory, health and events of the GPUs in the fleet file. Everything is healthy and
 * idle; in a drill the shim in front of it shows the fault. Structures are those of nvml.h 13.5. */
#ifndef OFFBUS_NVML_STANDIN_H
#define OFFBUS_NVML_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet.h"

typedef const struct fleet_gpu *nvmlDevice_t;

typedef enum {
  NVML_SUCCESS = 0,
  NVML_ERROR_UNINITIALIZED = 1,
  NVML_ERROR_INVALID_ARGUMENT = 2,
  NVML_ERROR_NOT_SUPPORTED = 3,
  NVML_ERROR_NOT_FOUND = 6,
  NVML_ERROR_INSUFFICIENT_SIZE = 7,
  NVML_ERROR_DRIVER_NOT_LOADED = 9,
  NVML_ERROR_TIMEOUT = 10,
  NVML_ERROR_MEMORY = 20,
  NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
} nvmlReturn_t;

#define API __attribute__((visibility("default"))) nvmlReturn_t

/* 1 before nvmlInit. */
nvmlReturn_t nvml_ready(void);
unsigned nvml_count(void);
nvmlDevice_t nvml_device(unsigned index); /* null = no such GPU */
nvmlReturn_t nvml_check(nvmlDevice_t device);

#define TRY(call)                                \
  do {                                           \
    nvmlReturn_t result_ = (call);               \
    if (result_ != NVML_SUCCESS) return result_; \
  } while (0)
#define NEED(condition, code)      \
  do {                             \
    if (!(condition)) return code; \
  } while (0)
/* Stores a value that every GPU has; a function's whole body. */
#define STORE(device, into, value)              \
  do {                                          \
    TRY(nvml_check(device));                    \
    NEED(into, NVML_ERROR_INVALID_ARGUMENT);    \
    *(into) = (value);                          \
    return NVML_SUCCESS;                        \
  } while (0)

#endif
