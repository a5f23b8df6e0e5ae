#include "fleet.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_uuid(const char *text, uint8_t *uuid) {
  unsigned digits = 0;
  if (strncmp(text, "GPU-", 4) != 0) return 0;
  for (text += 4; *text; text++) {
    char pair[2] = {*text, 0};
    if (*text == '-') continue;
    if (!isxdigit((unsigned char)*text) || digits >= 32) return 0;
    uuid[digits / 2] = (uint8_t)(uuid[digits / 2] << 4 | strtoul(pair, NULL, 16));
    digits++;
  }
  return digits == 32;
}

static int parse_line(char *line, struct fleet_gpu *gpu) {
  unsigned long long memory;
  memset(gpu, 0, sizeof *gpu);
  line[strcspn(line, "\r\n")] = 0;
  if (sscanf(line, "%47s %x:%x:%x.%x %llu %95[^\n]", gpu->uuid_text, &gpu->pci_domain, &gpu->pci_bus,
             &gpu->pci_device, &gpu->pci_function, &memory, gpu->name) != 7)
    return 0;
  gpu->memory = memory;
  return parse_uuid(gpu->uuid_text, gpu->uuid);
}

static int is_index(const char *word, unsigned index) {
  char *end;
  unsigned long value = strtoul(word, &end, 10);
  return *word && !*end && value == index;
}

static int listed(const struct fleet_gpu *gpu, const char *list) {
  char copy[2048], *rest = NULL;
  if (!list || strcmp(list, "all") == 0) return 1;
  snprintf(copy, sizeof copy, "%s", list);
  for (char *word = strtok_r(copy, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest))
    if (strcmp(word, "all") == 0 || strcasecmp(word, gpu->uuid_text) == 0 || is_index(word, gpu->index)) return 1;
  return 0;
}

unsigned fleet_read(struct fleet_gpu *into) {
  const char *path = getenv("OFFBUS_STANDIN_GPUS"), *visible = getenv("NVIDIA_VISIBLE_DEVICES");
  char line[512];
  unsigned n = 0, index = 0, number = 0;
  FILE *file = path ? fopen(path, "re") : NULL;
  if (path && !file) fprintf(stderr, "offbus stand-in driver: cannot read %s, so there are no GPUs\n", path);
  while (file && n < FLEET_MAX && fgets(line, sizeof line, file)) {
    struct fleet_gpu gpu;
    number++;
    if (line[0] == '#' || line[strspn(line, " \t\r\n")] == 0) continue;
    if (!parse_line(line, &gpu)) {
      fprintf(stderr, "offbus stand-in driver: %s:%u: expected `GPU-<uuid> <dddd:bb:dd.f> <bytes> <name>`\n", path,
              number);
      continue;
    }
    gpu.index = index++;
    if (listed(&gpu, visible)) into[n++] = gpu;
  }
  if (file) fclose(file);
  return n;
}

static int find_for_cuda(const struct fleet_gpu *gpus, unsigned n, const char *word) {
  for (unsigned i = 0; i < n; i++)
    if (is_index(word, i) || (strncmp(word, "GPU-", 4) == 0 && strncasecmp(word, gpus[i].uuid_text, strlen(word)) == 0))
      return (int)i;
  return -1;
}

unsigned fleet_narrow_for_cuda(struct fleet_gpu *gpus, unsigned n) {
  const char *list = getenv("CUDA_VISIBLE_DEVICES");
  struct fleet_gpu kept[FLEET_MAX];
  char copy[2048], *rest = NULL;
  unsigned used = 0;
  if (!list) return n;
  snprintf(copy, sizeof copy, "%s", list);
  for (char *word = strtok_r(copy, ",", &rest); word && used < FLEET_MAX; word = strtok_r(NULL, ",", &rest)) {
    int at = find_for_cuda(gpus, n, word + strspn(word, " "));
    if (at < 0) break;
    kept[used++] = gpus[at];
  }
  memcpy(gpus, kept, used * sizeof *kept);
  return used;
}
