/* The proxy build: an object that carries the driver's name loads the driver itself.
 *
 * The real library is, in this order: what OFFBUS_REAL_LIBCUDA or OFFBUS_REAL_LIBNVML names; `real/<name>` beside the
 * proxy; the first file of its name in LD_LIBRARY_PATH, in the loader's cache and in the usual folders that is not
 * this object, nor another proxy. It is opened by its full path: by name the loader would return the proxy. When
 * none is found, calls return what they do without a driver, with one line on stderr.
 */
#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>

#include "raw.h"
#include "shim.h"

#ifdef OFFBUS_PROXY_CUDA
enum { OURS = LIBRARY_CUDA };
#define NAME "libcuda.so.1"
#define VARIABLE "OFFBUS_REAL_LIBCUDA"
#else
enum { OURS = LIBRARY_NVML };
#define NAME "libnvidia-ml.so.1"
#define VARIABLE "OFFBUS_REAL_LIBNVML"
#endif

enum { PATH_SIZE = 1024, CACHE_MAX = 16 << 20 };

const uint32_t build_kind = OURS + 1;

static uintptr_t real_base;
static uint32_t tried; /* 0 = not yet, 1 = in progress, 2 = done */

bool real_is(unsigned which, const struct elf *object, const char *file_name) {
  (void)file_name;
  return which == OURS && real_base && object->base == real_base;
}

/* Mode bits and identity by statx, which is the same on every machine. */
static bool identify(const char *path, uint64_t *identity) {
  struct {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, unused;
    uint64_t inode, size, blocks, attributes_mask, times[8];
    uint32_t rdev_major, rdev_minor, major, minor;
    uint64_t more[14];
  } found = {0};
  if (raw_call(SYS_statx, AT_FDCWD, (long)path, 0, 0x7ff, (long)&found, 0)) return false;
  if ((found.mode & S_IFMT) != S_IFREG) return false;
  identity[0] = found.inode, identity[1] = (uint64_t)found.major << 32 | found.minor;
  return true;
}

static bool is_another_file(const char *path) {
  uint64_t its[2], own[2];
  if (!identify(path, its)) return false;
  return !identify(elf_own_path(), own) || its[0] != own[0] || its[1] != own[1];
}

/* Two proxies on one path would find each other for ever: this export identifies a proxy (generate.py). */
__attribute__((visibility("default"))) void offbus_proxy(void) {}

struct candidate {
  uintptr_t base;
  bool proxy;
};

static bool note_proxy(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct candidate *candidate = data;
  (void)file, (void)nth;
  if (object->base == candidate->base) candidate->proxy = elf_symbol(object, "offbus_proxy") != NULL;
  return object->base == candidate->base;
}

static bool is_proxy(uintptr_t base) {
  struct candidate candidate = {base, false};
  elf_each(note_proxy, &candidate);
  return candidate.proxy;
}

/* dlopen of this program's libc; before glibc 2.34 it may be in a library that is not loaded. */
static bool open_real(const char *path) {
  void *(*open)(const char *, int) = (void *(*)(const char *, int))elf_next("dlopen", 0);
  if (!open) open = (void *(*)(const char *, int))elf_next("__libc_dlopen_mode", 0);
  if (!open || !is_another_file(path)) return false;
  const struct link_map *map = open(path, RTLD_NOW | RTLD_LOCAL);
  if (!map || is_proxy(map->l_addr)) return false;
  real_base = map->l_addr;
  return true;
}

static bool open_in(const char *folder, const char *file) {
  char path[PATH_SIZE];
  path_join(path, sizeof path, folder, file);
  return open_real(path);
}

/* a:b:c */
static bool open_in_list(char *list) {
  for (char *folder = list, *at = list; *folder; folder = at) {
    while (*at && *at != ':') at++;
    if (*at) *at++ = 0;
    if (*folder && open_in(folder, "/" NAME)) return true;
  }
  return false;
}

/* The loader's cache (glibc's dl-cache.h, "glibc-ld.so.cache1.1"): 48 bytes of header whose fifth word is the number of
 * entries, entries of 24 bytes whose second and third word are offsets of name and path. */
static bool open_in_cache(const char *cache, size_t size) {
  const uint32_t *words = (const uint32_t *)cache;
  if (size < 48 || !text_starts(cache, "glibc-ld.so.cache1.1")) return false;
  uint32_t n = words[5];
  if (n > (size - 48) / 24 || cache[size - 1]) return false;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t *entry = words + 12 + i * 6;
    if (entry[1] >= size || entry[2] >= size) return false;
    if (text_equal(cache + entry[1], NAME) && open_real(cache + entry[2])) return true;
  }
  return false;
}

static bool open_by_cache(void) {
  int fd = raw_open("/etc/ld.so.cache", O_RDONLY);
  long size = fd >= 0 ? raw_size(fd) : 0;
  const char *cache = size > 0 && size < CACHE_MAX ? raw_map_private(fd, (size_t)size) : NULL;
  if (fd >= 0) raw_close(fd);
  bool done = cache && open_in_cache(cache, (size_t)size);
  if (cache) raw_unmap((void *)cache, (size_t)size);
  return done;
}

static bool find_and_open(void) {
  char text[4 * PATH_SIZE];
  char usual[] =
#if defined(__x86_64__)
      "/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu:"
#else
      "/usr/lib/aarch64-linux-gnu:/lib/aarch64-linux-gnu:"
#endif
      "/usr/lib64:/lib64:/usr/lib:/lib:/usr/local/nvidia/lib64:/usr/local/cuda/compat";
  environment_read(VARIABLE, text, sizeof text);
  if (text[0]) return open_real(text);
  own_folder(text, PATH_SIZE);
  if (text[0] && open_in(text, "real/" NAME)) return true;
  environment_read("LD_LIBRARY_PATH", text, sizeof text);
  return open_in_list(text) || open_by_cache() || open_in_list(usual);
}

/* A thread that enters meanwhile waits, since otherwise it would report that there is no driver. The loading thread
 * enters again when the driver's own constructor calls us: it continues without waiting. */
void real_load(void) {
  static int at_it;
  uint32_t none = 0;
  if (__atomic_load_n(&tried, __ATOMIC_ACQUIRE) == 2) return;
  if (!__atomic_compare_exchange_n(&tried, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
    int self = raw_gettid();
    while (__atomic_load_n(&tried, __ATOMIC_ACQUIRE) == 1 && __atomic_load_n(&at_it, __ATOMIC_RELAXED) != self)
      raw_yield();
    return;
  }
  __atomic_store_n(&at_it, raw_gettid(), __ATOMIC_RELAXED);
  if (!find_and_open()) {
    complaint_add(NAME, "is this proxy, and the real one was not found (" VARIABLE ")");
    complaint_say();
  }
  __atomic_store_n(&tried, 2, __ATOMIC_RELEASE);
}
