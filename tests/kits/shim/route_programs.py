"""C programs that call every function of the list, generated from the list; one program for each route to a function.

A program prints one line a function, `name answer`, all calls made with zeroes: what is asked is only whose answer
comes back. The driver behind is generated too: every name answers success, as little else as the shim needs.
"""

import re
from pathlib import Path

from tests.kits.shim.shim_build import SHIM, compile_c

__all__ = ["CODES", "ROUTES", "driver", "program"]

ENTRIES = [
    line.split()
    for line in (SHIM / "functions.def").read_text(encoding="ascii").splitlines()
    if line[:1] in ("c", "n")
]
CODES = {"cu": 719, "nvml": 15}
ROUTES = ("linked", "dlsym", "dlvsym", "cuGetProcAddress")
TEXTS = {name for name, _, _, *trait in ENTRIES if trait == ["text"]}
RESOLVERS = ("cuGetProcAddress", "cuGetProcAddress_v2")
LIBRARIES = {"cu": "libcuda.so.1", "nvml": "libnvidia-ml.so.1"}

DRIVER = """
#define API __attribute__((visibility("default"), noinline))
/* One instruction stream a function, so that no two share an address. */
#define ANSWERS(name, n) API int name(void) { volatile int own = n; return own * 0; }
"""
DRIVER_CUDA = """
API int cuDeviceGetCount(int *n) { if (n) *n = 1; return 0; }
API int cuCtxGetDevice(int *n) { if (n) *n = 0; return 0; }
"""
RESOLVE = """
static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
static void *find(const char *name) {
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
    if (same(all[i].name, name)) return all[i].at;
  return 0;
}
API int cuGetProcAddress(const char *name, void **into, int v, unsigned long flags) {
  (void)v, (void)flags;
  if (into) *into = name ? find(name) : 0;
  return 0;
}
API int cuGetProcAddress_v2(const char *name, void **into, int v, unsigned long flags, int *status) {
  (void)status;
  return cuGetProcAddress(name, into, v, flags);
}
"""
PROGRAM = """
#include <dlfcn.h>
#include <stdio.h>
typedef long (*function)(long, long, long, long, long, long, long, long, long, long, long);
static void *library;
static void show(const char *name, void *at) {
  if (at) printf("%s %d\\n", name, (int)((function)at)(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  else printf("%s absent\\n", name);
}
"""
GETTERS = {
    "dlsym": "static void *get(const char *n) { return dlsym(library, n); }",
    "dlvsym": 'static void *get(const char *n) { return dlvsym(library, n, "ANY"); }',
    "cuGetProcAddress": """static void *get(const char *n) {
  int (*resolve)(const char *, void **, int, unsigned long, int *);
  void *found = 0;
  resolve = (int (*)(const char *, void **, int, unsigned long, int *))dlsym(library, "cuGetProcAddress_v2");
  return resolve && !resolve(n, &found, 13000, 0, 0) ? found : 0;
}""",
}


def names(prefix: str) -> list[str]:
    """The functions of one library that answer a number."""
    return [name for name, *_ in ENTRIES if re.match(rf"{prefix}[A-Z]", name) and name not in TEXTS]


def faulted(prefix: str) -> set[str]:
    """Of these, the ones that an error on every GPU changes: all that have a class, and an NVML call's own GPU."""
    return {name for name, klass, *_ in ENTRIES if klass != "meta" and name in names(prefix)}


def driver(folder: Path) -> Path:
    """Both libraries with every name of the list."""
    folder.mkdir()
    for prefix, file in LIBRARIES.items():
        own = ("cuDeviceGetCount", "cuCtxGetDevice", *RESOLVERS) if prefix == "cu" else ()
        simple = [n for n in names(prefix) if n not in own]
        text = DRIVER + "".join(f"ANSWERS({n}, {i})\n" for i, n in enumerate(simple))
        if prefix == "cu":
            text += DRIVER_CUDA + "static struct { const char *name; void *at; } all[] = {\n"
            text += "".join(f'{{"{n}", (void *){n}}},\n' for n in simple + list(own[:2])) + "};\n" + RESOLVE
        compile_library(folder / file, text)
    return folder


def compile_library(path: Path, text: str) -> None:
    """A shared library of this C text, bound to itself as NVIDIA's are.

    It needs no libc, so it has no symbol versions at all: only such a library answers dlvsym for any version.
    """
    source = path.with_suffix(".c")
    source.write_text(text, encoding="ascii")
    compile_c(
        path,
        source,
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-fno-ipa-icf",
        f"-Wl,-soname,{path.name}",
        "-Wl,-Bsymbolic",
    )


def program(folder: Path, prefix: str, route: str, libraries: Path) -> Path:
    """A program that calls every function of a library by one route."""
    called = [n for n in names(prefix) if n not in RESOLVERS]
    path = folder / f"{prefix}-{route}"
    if route == "linked":
        text = "".join(f"extern int {n}(void);\n" for n in called)
        calls = "".join(f'  show("{n}", (void *){n});\n' for n in called)
    else:
        text = GETTERS[route]
        calls = f'  library = dlopen("{LIBRARIES[prefix]}", RTLD_NOW);\n  if (!library) return 1;\n'
        calls += "".join(f'  show("{n}", get("{n}"));\n' for n in called)
    source = path.with_suffix(".c")
    source.write_text(
        f"{PROGRAM}{text}\nint main(void) {{\n  (void)library;\n{calls}  return 0;\n}}\n", encoding="ascii"
    )
    linked = ("-L", libraries, f"-l:{LIBRARIES[prefix]}") if route == "linked" else ()
    return compile_c(path, source, *linked)
