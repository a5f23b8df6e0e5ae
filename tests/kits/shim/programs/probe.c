/* Obeys one command a line and answers with one line of result codes. How it gets at the driver is chosen when it is
 * compiled: VIA_LINK (ELF binding), VIA_DLSYM, VIA_PROC_ADDRESS (cuGetProcAddress_v2), VIA_DLMOPEN (the driver in a
 * namespace of its own), VIA_WALK (its symbol table, read by hand). With AS_PLUGIN it is a library whose probe_main
 * another program calls. */
#include "driver.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef VIA_LINK
#define DECLARE(name, types) extern int name types;
FUNCTIONS(DECLARE)
static int get_functions(void) { return 0; }
#else
#define DECLARE(name, types) static int(*name) types;
FUNCTIONS(DECLARE)

static void *library;

#ifdef VIA_WALK
/* As a program with a loader of its own would: no dl function sees the name. The string table follows the symbols. */
static void *walk(const struct link_map *map, const char *name) {
  const ElfW(Sym) *symbols = NULL;
  const char *strings = NULL;
  for (const ElfW(Dyn) *d = map->l_ld; d->d_tag; d++) {
    if (d->d_tag == DT_SYMTAB) symbols = (const ElfW(Sym) *)d->d_un.d_ptr;
    if (d->d_tag == DT_STRTAB) strings = (const char *)d->d_un.d_ptr;
  }
  for (const ElfW(Sym) *s = symbols; (const char *)s < strings; s++)
    if (s->st_shndx && !strcmp(strings + s->st_name, name)) return (void *)(map->l_addr + s->st_value);
  return NULL;
}
#endif

static void *look_up(const char *name) {
#ifdef VIA_WALK
  return walk(library, name);
#elif defined(VIA_PROC_ADDRESS)
  static int (*get)(const char *, void **, int, uint64_t, int *);
  char base[64];
  void *found = NULL;
  int status = 0;
  get = (int (*)(const char *, void **, int, uint64_t, int *))dlsym(library, "cuGetProcAddress_v2");
  snprintf(base, sizeof base, "%s", name);
  char *version = strstr(base, "_v2");
  if (version) *version = 0;
  return get && get(base, &found, 12080, 0, &status) == 0 ? found : NULL;
#else
  return dlsym(library, name);
#endif
}

static int get_functions(void) {
#ifdef VIA_DLMOPEN
  library = dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
#else
  library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
#endif
  if (!library) return 1;
#define GET(name, types) \
  if (!(name = (int(*) types)look_up(#name))) return 1;
  FUNCTIONS(GET)
  return 0;
}
#endif

static void *contexts[8];
static uint64_t buffers[64];
static int held;

static int use(int device) {
  if (contexts[device]) return cuCtxSetCurrent(contexts[device]);
  int code = cuDevicePrimaryCtxRetain(&contexts[device], device);
  return code ? code : cuCtxSetCurrent(contexts[device]);
}

static int allocate(void) {
  int code = cuMemAlloc_v2(&buffers[held], 4096);
  if (!code) held++;
  return code;
}

/* Allocates, copies there, computes 2 * x + y on the device, copies back, checks. The first failing code, or -1 when
 * everything was answered with success and the numbers are wrong. */
static int work(void) {
  enum { N = 256 };
  float x[N], y[N], factor = 2;
  unsigned n = N;
  uint64_t dx = 0, dy = 0;
  void *module, *kernel, *parameters[] = {&dy, &dx, &factor, &n};
  int code;
  for (int i = 0; i < N; i++) x[i] = (float)i, y[i] = 1;
  if ((code = cuMemAlloc_v2(&dx, sizeof x)) || (code = cuMemAlloc_v2(&dy, sizeof y))) return code;
  if ((code = cuMemcpyHtoD_v2(dx, x, sizeof x)) || (code = cuMemcpyHtoD_v2(dy, y, sizeof y))) return code;
  if ((code = cuModuleLoadData(&module, ".visible .entry offbus_axpy(")) != 0) return code;
  if ((code = cuModuleGetFunction(&kernel, module, "offbus_axpy")) != 0) return code;
  if ((code = cuLaunchKernel(kernel, 1, 1, 1, N, 1, 1, 0, NULL, parameters, NULL)) != 0) return code;
  if ((code = cuCtxSynchronize()) || (code = cuMemcpyDtoH_v2(y, dy, sizeof y))) return code;
  for (int i = 0; i < N; i++)
    if (y[i] != 2 * (float)i + 1) return -1;
  if ((code = cuMemFree_v2(dx)) != 0) return code;
  return cuMemFree_v2(dy);
}

static int in_child(void) {
  int status = 0;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(cuCtxSynchronize() & 0xff);
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static long used_memory(void) {
  size_t free_bytes = 0, total = 0;
  int code = cuMemGetInfo_v2(&free_bytes, &total);
  return code ? -code : (long)(total - free_bytes);
}

static int obey(const char *word, int argument, char *answer, size_t size) {
  int value = 0, code;
  if (!strcmp(word, "init")) snprintf(answer, size, "%d", cuInit(0));
  else if (!strcmp(word, "use")) snprintf(answer, size, "%d", use(argument));
  else if (!strcmp(word, "sync")) snprintf(answer, size, "%d", cuCtxSynchronize());
  else if (!strcmp(word, "alloc")) snprintf(answer, size, "%d", allocate());
  else if (!strcmp(word, "free")) snprintf(answer, size, "%d", cuMemFree_v2(buffers[held - 1]));
  else if (!strcmp(word, "used")) snprintf(answer, size, "%ld", used_memory());
  else if (!strcmp(word, "work")) snprintf(answer, size, "%d", work());
  else if (!strcmp(word, "fork")) snprintf(answer, size, "%d", in_child());
  else if (!strcmp(word, "version")) code = cuDriverGetVersion(&value), snprintf(answer, size, "%d %d", code, value);
  else if (!strcmp(word, "count")) code = cuDeviceGetCount(&value), snprintf(answer, size, "%d %d", code, value);
  else if (!strcmp(word, "pid")) snprintf(answer, size, "%d", (int)getpid());
  else return 0;
  return 1;
}

int probe_main(void);
int probe_main(void) {
  char line[128], word[32], answer[128];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (get_functions()) {
    puts("no driver");
    return 1;
  }
  puts("ready");
  while (fgets(line, sizeof line, stdin)) {
    int argument = 0;
    if (sscanf(line, "%31s %d", word, &argument) < 1 || !obey(word, argument, answer, sizeof answer)) return 2;
    puts(answer);
  }
  return 0;
}

#ifndef AS_PLUGIN
int main(void) { return probe_main(); }
#endif
