/* Modules and launches. An image is text (PTX, or any that names kernels): a module has the functions whose names
 * occur in it as words, and can run those of cuda_kernel.c. Machine code has no meaning here (209). */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_standin.h"

enum { IMAGE_MAX = 16 << 20 };

struct module {
  struct object object;
  char *text;
};

static bool is_machine_code(const void *image) {
  static const uint32_t magics[] = {0x464c457f /* ELF */, 0xba55ed50 /* fatbin */, 0x466243b1 /* its wrapper */};
  uint32_t first;
  memcpy(&first, image, sizeof first);
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
    if (first == magics[i]) return true;
  return false;
}

static bool is_word(const char *text, const char *at, size_t length) {
  bool starts = at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
  return starts && !(isalnum((unsigned char)at[length]) || at[length] == '_');
}

static bool names(const char *text, const char *name) {
  size_t length = strlen(name);
  for (const char *at = strstr(text, name); at; at = strstr(at + 1, name))
    if (is_word(text, at, length)) return true;
  return false;
}

CUresult image_check(const char *image) {
  NEED(image[0], CUDA_ERROR_INVALID_IMAGE);
  return strlen(image) < 4 || !is_machine_code(image) ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult image_function(CUfunction *into, const char *text, const char *name) {
  NEED(names(text, name), CUDA_ERROR_NOT_FOUND);
  *into = kernel_named(name);
  return *into ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult load(CUmodule *into, const char *image) {
  CURRENT(context);
  NEED(into && image, CUDA_ERROR_INVALID_VALUE);
  TRY(image_check(image));
  CUmodule module = calloc(1, sizeof *module);
  NEED(module, CUDA_ERROR_OUT_OF_MEMORY);
  module->text = strdup(image);
  if (!module->text) {
    free(module);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  object_add(&module->object, MODULE);
  *into = module;
  return CUDA_SUCCESS;
}

API cuModuleLoadData(CUmodule *into, const void *image) { return load(into, image); }
OFFER("cuModuleLoadData", 2000, cuModuleLoadData);

API cuModuleLoadDataEx(CUmodule *into, const void *image, unsigned n, int *options, void **values) {
  NEED(!n || (options && values), CUDA_ERROR_INVALID_VALUE);
  return load(into, image);
}
OFFER("cuModuleLoadDataEx", 2010, cuModuleLoadDataEx);

API cuModuleLoadFatBinary(CUmodule *into, const void *image) {
  NEED(into && image, CUDA_ERROR_INVALID_VALUE);
  return CUDA_ERROR_NO_BINARY_FOR_GPU;
}
OFFER("cuModuleLoadFatBinary", 2000, cuModuleLoadFatBinary);

API cuModuleLoad(CUmodule *into, const char *path) {
  NEED(into && path, CUDA_ERROR_INVALID_VALUE);
  FILE *file = fopen(path, "re");
  NEED(file, CUDA_ERROR_FILE_NOT_FOUND);
  char *text = calloc(1, IMAGE_MAX + 1);
  size_t got = text ? fread(text, 1, IMAGE_MAX, file) : 0;
  fclose(file);
  CUresult result = !text ? CUDA_ERROR_OUT_OF_MEMORY : got ? load(into, text) : CUDA_ERROR_INVALID_IMAGE;
  free(text);
  return result;
}
OFFER("cuModuleLoad", 2000, cuModuleLoad);

API cuModuleUnload(CUmodule module) {
  CURRENT(context);
  NEED(object_remove(module, MODULE), CUDA_ERROR_INVALID_HANDLE);
  free(module->text);
  free(module);
  return CUDA_SUCCESS;
}
OFFER("cuModuleUnload", 2000, cuModuleUnload);

API cuModuleGetFunction(CUfunction *into, CUmodule module, const char *name) {
  CURRENT(context);
  NEED(into && name && *name, CUDA_ERROR_INVALID_VALUE);
  NEED(object_is(module, MODULE), CUDA_ERROR_INVALID_HANDLE);
  return image_function(into, module->text, name);
}
OFFER("cuModuleGetFunction", 2000, cuModuleGetFunction);

API cuFuncGetName(const char **name, CUfunction function) {
  NEED(name && kernel_valid(function), CUDA_ERROR_INVALID_VALUE);
  *name = kernel_name(function);
  return CUDA_SUCCESS;
}
OFFER("cuFuncGetName", 12030, cuFuncGetName);

CUresult launch_prepare(struct launch *into, CUfunction function, const unsigned *size, void **parameters,
                        void **extra) {
  NEED(kernel_valid(function), CUDA_ERROR_INVALID_HANDLE);
  for (int i = 0; i < 6; i++) NEED(size[i], CUDA_ERROR_INVALID_VALUE);
  uint64_t block = (uint64_t)size[3] * size[4] * size[5];
  NEED(size[3] <= 1024 && size[4] <= 1024 && size[5] <= 64 && block <= 1024, CUDA_ERROR_INVALID_VALUE);
  NEED(size[1] <= 65535 && size[2] <= 65535, CUDA_ERROR_INVALID_VALUE);
  return kernel_prepare(into, function, (uint64_t)size[0] * size[1] * size[2] * block, parameters, extra);
}

static CUresult launch(CUfunction function, const unsigned *size, CUstream stream, void **parameters, void **extra) {
  struct work work = {.kind = WORK_KERNEL};
  TRY(stream_check(stream));
  TRY(launch_prepare(&work.launch, function, size, parameters, extra));
  return stream_submit(stream, &work);
}

API cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, CUstream stream, void **parameters, void **extra) {
  NEED(shared <= 232448, CUDA_ERROR_INVALID_VALUE);
  return launch(function, (unsigned[]){gx, gy, gz, bx, by, bz}, stream, parameters, extra);
}
OFFER("cuLaunchKernel", 4000, cuLaunchKernel);

API cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, CUstream stream, void **parameters) {
  NEED(shared <= 232448, CUDA_ERROR_INVALID_VALUE);
  return launch(function, (unsigned[]){gx, gy, gz, bx, by, bz}, stream, parameters, NULL);
}
OFFER("cuLaunchCooperativeKernel", 9000, cuLaunchCooperativeKernel);

struct launch_config {
  unsigned size[6];
  unsigned shared;
  CUstream stream;
  void *attributes;
  unsigned attribute_count;
};

API cuLaunchKernelEx(const struct launch_config *config, CUfunction function, void **parameters, void **extra) {
  NEED(config && config->shared <= 232448, CUDA_ERROR_INVALID_VALUE);
  return launch(function, config->size, config->stream, parameters, extra);
}
OFFER("cuLaunchKernelEx", 11060, cuLaunchKernelEx);
