/* The smallest target that a drill can fault: an OpenAI-compatible server that starts within milliseconds.
 *
 *   target PORT [--no-gpu]
 *
 * GET /health: 200. GET /v1/models: one model. POST /v1/chat/completions: allocates and frees on the GPU and asks NVML
 * for the temperature, then answers; a CUDA error is answered with 500 and ends the process with 1, as engines do.
 * Both libraries are opened by name, as every CUDA program does, so that a preloaded shim sees each call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*call1)(uintptr_t);
typedef int (*call2)(uintptr_t, uintptr_t);
typedef int (*call3)(uintptr_t, uintptr_t, uintptr_t);

static void *cuda, *nvml;
static void *gpu;

static void *of(void *library, const char *name) {
    void *found = library ? dlsym(library, name) : NULL;
    if (!found) {
        fprintf(stderr, "target: no %s\n", name);
        exit(3);
    }
    return found;
}

static void open_gpu(void) {
    int device = 0;
    void *context = NULL;
    cuda = dlopen("libcuda.so.1", RTLD_NOW);
    nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (((call1)of(cuda, "cuInit"))(0) || ((call2)of(cuda, "cuDeviceGet"))((uintptr_t)&device, 0) ||
        ((call2)of(cuda, "cuDevicePrimaryCtxRetain"))((uintptr_t)&context, (uintptr_t)device) ||
        ((call1)of(cuda, "cuCtxSetCurrent"))((uintptr_t)context))
        exit(1);
    if (((int (*)(void))of(nvml, "nvmlInit_v2"))()) exit(1);
    ((call2)of(nvml, "nvmlDeviceGetHandleByIndex_v2"))(0, (uintptr_t)&gpu);
}

static int use_gpu(void) {
    unsigned temperature = 0;
    uint64_t memory = 0;
    if (!cuda) return 0;
    ((call3)of(nvml, "nvmlDeviceGetTemperature"))((uintptr_t)gpu, 0, (uintptr_t)&temperature);
    int failed = ((call2)of(cuda, "cuMemAlloc_v2"))((uintptr_t)&memory, 4096);
    return failed ? failed : ((call1)of(cuda, "cuMemFree_v2"))((uintptr_t)memory);
}

static void answer(int client, const char *status, const char *body) {
    dprintf(client,
            "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
            status, strlen(body), body);
    shutdown(client, SHUT_WR);
}

/* The request without its end does not matter here: bodies are small, and nothing in them is looked at. */
static int serve(int client) {
    char request[65536] = "";
    size_t got = 0;
    ssize_t more;
    do {
        more = read(client, request + got, sizeof request - 1 - got);
        got += more > 0 ? (size_t)more : 0;
        request[got] = 0;
        char *end = strstr(request, "\r\n\r\n"), *length = strcasestr(request, "content-length:");
        if (end && got >= (size_t)(end + 4 - request) + (length && length < end ? (size_t)atol(length + 15) : 0)) break;
    } while (more > 0);
    int failed = !strncmp(request, "POST", 4) ? use_gpu() : 0;
    if (failed) answer(client, "500 Internal Server Error", "{\"error\":{\"message\":\"CUDA error\",\"code\":500}}");
    else if (!strncmp(request, "POST", 4))
        answer(client, "200 OK",
               "{\"choices\":[{\"index\":0,\"finish_reason\":\"length\",\"message\":{\"role\":\"assistant\",\"content\":\"ok\"}}]}");
    else answer(client, "200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"torture\",\"object\":\"model\"}]}");
    while (read(client, request, sizeof request) > 0) {}
    close(client);
    return failed;
}

int main(int argc, char **argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    int yes = 1, server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc < 3) open_gpu();
    inet_pton(AF_INET, getenv("POD_IP"), &at.sin_addr);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 64)) return 2;
    for (;;) {
        int client = accept(server, NULL, NULL), failed = client < 0 ? 0 : serve(client);
        if (failed) {
            fprintf(stderr, "CUDA error: %d\n", failed);
            return 1;
        }
    }
}
