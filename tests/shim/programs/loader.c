/* Runs the probe from a library that is opened with RTLD_DEEPBIND: its own libraries would come before the shim. */
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
  void *plugin = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : NULL;
  if (!plugin) {
    puts(count == 2 ? dlerror() : "usage: loader PLUGIN");
    return 1;
  }
  int (*run)(void) = (int (*)(void))dlsym(plugin, "probe_main");
  return run ? run() : 1;
}
