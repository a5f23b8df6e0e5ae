/* Finds symbols in loaded objects from their own tables.
 *
 * dl_iterate_phdr is the only external function that the shim uses; the reference is weak and unversioned, so it binds
 * to any libc and needs no DT_NEEDED. Without it nothing is found and every call passes.
 */
#include <link.h>

#include "shim.h"

extern int dl_iterate_phdr(int (*)(struct dl_phdr_info *, size_t, void *), void *) __attribute__((weak));
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

struct visit {
  bool (*see)(const struct elf *, const char *, unsigned, void *);
  void *data;
  unsigned nth;
  bool passed_us, passed_libc;
};

/* glibc writes the relocated pointers over these, musl does not. */
static const void *pointer_in(uintptr_t base, ElfW(Addr) at) {
  return (const void *)(at < base ? base + at : at);
}

static void read_tag(struct elf *object, const ElfW(Dyn) *entry) {
  const void *at = pointer_in(object->base, entry->d_un.d_ptr);
  switch (entry->d_tag) {
    case DT_SYMTAB: object->symbols = at; break;
    case DT_STRTAB: object->strings = at; break;
    case DT_GNU_HASH: object->gnu_hash = at; break;
    case DT_HASH: object->sysv_hash = at; break;
    case DT_VERSYM: object->versions = at; break;
    default: break;
  }
}

static struct elf read_object(const struct dl_phdr_info *info) {
  struct elf object = {.base = info->dlpi_addr, .end = info->dlpi_addr};
  object.path = info->dlpi_name ? info->dlpi_name : "";
  for (int i = 0; i < info->dlpi_phnum; i++) {
    uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type == PT_LOAD && end > object.end) object.end = end;
    if (info->dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    const ElfW(Dyn) *entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; entry++) read_tag(&object, entry);
  }
  return object;
}

static const char *file_name(const char *path) {
  const char *name = path;
  for (; *path; path++)
    if (*path == '/') name = path + 1;
  return name;
}

static bool is_libc(const char *file) {
  return text_starts(file, "libc.so") || text_starts(file, "ld-musl") || text_starts(file, "libc.musl");
}

static int visit_object(struct dl_phdr_info *info, size_t size, void *data) {
  struct visit *visit = data;
  unsigned nth = visit->nth++;
  (void)size;
  if (info->dlpi_addr == (uintptr_t)__ehdr_start) {
    visit->passed_us = true;
    return 0;
  }
  struct elf object = read_object(info);
  if (!object.symbols || !object.strings) return 0;
  visit->passed_libc |= is_libc(file_name(object.path));
  object.behind = visit->passed_us;
  object.in_front = visit->passed_us && !visit->passed_libc;
  return visit->see(&object, file_name(object.path), nth, visit->data);
}

void elf_each(bool (*see)(const struct elf *, const char *, unsigned, void *), void *data) {
  struct visit visit = {.see = see, .data = data};
  if (dl_iterate_phdr) dl_iterate_phdr(visit_object, &visit);
}

static int note_closed(struct dl_phdr_info *info, size_t size, void *data) {
  if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) *(uint64_t *)data = info->dlpi_subs;
  return 1;
}

uint64_t elf_closed(void) {
  uint64_t closed = 0;
  if (dl_iterate_phdr) dl_iterate_phdr(note_closed, &closed);
  return closed;
}

/* The address of symbol `n` if it is a definition of `name`. An old version of a name (hidden bit) is fine too: all
 * versions of the functions that we look up do the same. */
static void *defined(const struct elf *object, uint32_t n, const char *name) {
  const ElfW(Sym) *symbol = (const ElfW(Sym) *)object->symbols + n;
  unsigned type = symbol->st_info & 15u;
  if (symbol->st_shndx == SHN_UNDEF || !symbol->st_value || (type != STT_FUNC && type != STT_NOTYPE)) return NULL;
  if (!text_equal(object->strings + symbol->st_name, name)) return NULL;
  return (void *)(object->base + symbol->st_value);
}

static void *find_gnu(const struct elf *object, const char *name) {
  const uint32_t *table = object->gnu_hash;
  uint32_t nbuckets = table[0], first = table[1], bloom_words = table[2], hash = 5381;
  for (const char *c = name; *c; c++) hash = hash * 33 + (unsigned char)*c;
  const uint32_t *buckets = table + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
  const uint32_t *chain = buckets + nbuckets;
  uint32_t n = nbuckets ? buckets[hash % nbuckets] : 0;
  if (n < first || !n) return NULL;
  for (;; n++) {
    void *at = (chain[n - first] | 1u) == (hash | 1u) ? defined(object, n, name) : NULL;
    if (at || (chain[n - first] & 1u)) return at;
  }
}

static void *find_sysv(const struct elf *object, const char *name) {
  const uint32_t *table = object->sysv_hash;
  for (uint32_t n = 1; n < table[1]; n++) {
    void *at = defined(object, n, name);
    if (at) return at;
  }
  return NULL;
}

void *elf_symbol(const struct elf *object, const char *name) {
  if (object->gnu_hash) return find_gnu(object, name);
  return object->sysv_hash ? find_sysv(object, name) : NULL;
}

struct sought {
  const char *name;
  uint64_t caller;
  bool anywhere;
  void *found;
};

static bool note_definition(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct sought *sought = data;
  (void)file;
  bool own = sought->caller >= object->base && sought->caller < object->end;
  if (nth > 0 && !own && (object->behind || sought->anywhere)) sought->found = elf_symbol(object, sought->name);
  return sought->found != NULL;
}

/* Never the caller's own: an object that interposes the same name looks for the one behind it. An interposer in front of
 * us calls us itself, so it is never the next one. An object that was loaded late has nothing behind it: then any other
 * definition is used. */
void *elf_next(const char *name, uint64_t caller) {
  struct sought sought = {name, caller, false, NULL};
  elf_each(note_definition, &sought);
  if (sought.found) return sought.found;
  sought.anywhere = true;
  elf_each(note_definition, &sought);
  return sought.found;
}

static int note_own_path(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  if (info->dlpi_addr != (uintptr_t)__ehdr_start) return 0;
  *(const char **)data = info->dlpi_name;
  return 1;
}

const char *elf_own_path(void) {
  const char *path = NULL;
  if (dl_iterate_phdr) dl_iterate_phdr(note_own_path, &path);
  return path ? path : "";
}

struct addresses {
  uint64_t one, other;
  bool same, libc;
};

static bool note_addresses(const struct elf *object, const char *file, unsigned nth, void *data) {
  struct addresses *of = data;
  (void)nth;
  if (of->other < object->base || of->other >= object->end) return false;
  of->same = of->one >= object->base && of->one < object->end;
  of->libc = is_libc(file) || text_starts(file, "libdl.so");
  return true;
}

bool is_same_object(uint64_t one, uint64_t other) {
  struct addresses of = {.one = one, .other = other};
  elf_each(note_addresses, &of);
  return of.same;
}

bool is_libc_address(uint64_t address) {
  struct addresses of = {.other = address};
  elf_each(note_addresses, &of);
  return of.libc;
}
