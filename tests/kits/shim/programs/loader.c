/* Runs the probe from a library. `deepbind`: its own libraries would come before the shim; `namespace`: it is loaded with
 * copies of all that it needs, which no preloaded object stands before. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments) {
  void *plugin = NULL;
  if (count == 3 && !strcmp(arguments[1], "deepbind"))
    plugin = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (count == 3 && !strcmp(arguments[1], "namespace")) plugin = dlmopen(LM_ID_NEWLM, arguments[2], RTLD_NOW);
  if (!plugin) {
    puts(count == 3 ? dlerror() : "usage: loader deepbind|namespace PLUGIN");
    return 1;
  }
  int (*run)(void) = (int (*)(void))dlsym(plugin, "probe_main");
  return run ? run() : 1;
}
