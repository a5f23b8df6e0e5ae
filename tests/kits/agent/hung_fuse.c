/* A pod with a FUSE volume that it serves itself (a CSI sidecar), and that stops answering.
 *
 *     hung-fuse MOUNTPOINT pending|taken [ARGUMENT...]
 *
 * It mounts the volume in a mount namespace of its own, writes a line, and answers nothing but the first request (INIT).
 * `pending`: it leaves requests in the kernel's queue; who waits for one can be killed. `taken`: it takes them; who waits
 * for one cannot be killed while this program lives (fs/fuse/dev.c, request_wait_answer). Ends with its parent, and
 * after 90 s, for a parent that waits for it cannot be ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

static char buffer[1 << 17];

int main(int argc, char **argv) {
    struct { struct fuse_out_header header; struct fuse_init_out init; } answer;
    char options[128];
    int device;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(90);
    if (argc < 3 || unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_PRIVATE, 0))
        return 1;
    device = open("/dev/fuse", O_RDWR);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
    if (device < 0 || mount("fuse", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
        return 2;
    if (read(device, buffer, sizeof buffer) < 0)
        return 3;
    memset(&answer, 0, sizeof answer);
    answer.header.len = sizeof answer;
    answer.header.unique = ((struct fuse_in_header *)buffer)->unique;
    answer.init.major = 7;
    answer.init.minor = 31;
    answer.init.max_write = 4096;
    if (write(device, &answer, sizeof answer) < 0)
        return 4;
    puts("ready");
    fflush(stdout);
    while (strcmp(argv[2], "taken") == 0)
        if (read(device, buffer, sizeof buffer) < 0)
            return 5;
    for (;;)
        pause();
}
