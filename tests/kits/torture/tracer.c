/* Runs a program and strikes at an exact place of it, from outside: after (or in the middle of, or before) the Nth
 * write(2) to the file whose path ends in --match, or at an instant.
 *
 *   tracer --report FD [--match SUFFIX] [--containing TEXT] [--at N --how after|torn|before|stop|spare]
 *          [--us MICROSECONDS] [--also PID,PID…] [--boottime SECONDS --monotonic SECONDS] -- PROGRAM ARGUMENT…
 *
 * With --containing only writes with that text in them count for --at.
 *
 * How it strikes: `after`: SIGKILL when that write has returned; `torn`: SIGKILL when half of it is in the file;
 * `before`: SIGKILL before the write begins; `stop`: SIGSTOP when it has returned (SIGCONT from anybody goes on);
 * `spare`: the program itself goes on. The processes of --also are killed in the same moment, first. With --us it waits
 * that long after the start, or (with --at) after that write has begun, and then kills, wherever the program is.
 *
 * One line a fact on FD: "struck N" (N writes were begun), "stopped N", and in the end "ended CODE N" (CODE: exit
 * status, or 128 + signal). A seccomp filter makes only write(2) stop the program, so it runs at its own speed.
 * With clock offsets the program runs in a time namespace of its own (time_namespaces(7)). Exit code: 0, or 125 when
 * the program could not be traced.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define EVENT(status) ((status) >> 16)
#define MAX_ALSO 64

enum how { AFTER, TORN, BEFORE, STOP, SPARE };

static struct {
    const char *match, *containing;
    long at, us, boottime, monotonic;
    enum how how;
    int report, also_count;
    pid_t also[MAX_ALSO];
} want = {.match = "/journal.jsonl", .report = -1};

static pid_t leader;
static long writes, candidates;
static int struck;
static volatile sig_atomic_t alarmed;

static void die(const char *what) {
    fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
    if (leader > 0) kill(leader, SIGKILL);
    exit(125);
}

static void tell(const char *what, long a) { dprintf(want.report, "%s %ld\n", what, a); }

static enum how how_of(const char *word) {
    const char *names[] = {"after", "torn", "before", "stop", "spare"};
    for (int i = 0; i < 5; i++)
        if (!strcmp(word, names[i])) return (enum how)i;
    errno = EINVAL;
    die(word);
    return AFTER;
}

static void also_of(char *list) {
    for (char *word = strtok(list, ","); word && want.also_count < MAX_ALSO; word = strtok(NULL, ","))
        want.also[want.also_count++] = (pid_t)atol(word);
}

static char **parse(char **argv) {
    for (argv++; *argv && strcmp(*argv, "--"); argv += 2) {
        char *value = argv[1];
        if (!value) { errno = EINVAL; die(*argv); }
        if (!strcmp(*argv, "--match")) want.match = value;
        else if (!strcmp(*argv, "--containing")) want.containing = value;
        else if (!strcmp(*argv, "--at")) want.at = atol(value);
        else if (!strcmp(*argv, "--us")) want.us = atol(value);
        else if (!strcmp(*argv, "--how")) want.how = how_of(value);
        else if (!strcmp(*argv, "--also")) also_of(value);
        else if (!strcmp(*argv, "--report")) want.report = atoi(value);
        else if (!strcmp(*argv, "--boottime")) want.boottime = atol(value);
        else if (!strcmp(*argv, "--monotonic")) want.monotonic = atol(value);
        else { errno = EINVAL; die(*argv); }
    }
    if (!*argv || !argv[1]) { errno = EINVAL; die("no program"); }
    return argv + 1;
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
    close(fd);
}

static void shift_clocks(void) {
    char text[128];
    unsigned uid = getuid(), gid = getgid();
    if (!want.boottime && !want.monotonic) return;
    if (unshare(CLONE_NEWTIME) < 0) { /* without privileges a user namespace allows it, where those are allowed */
        if (unshare(CLONE_NEWUSER | CLONE_NEWTIME) < 0) die("no time namespace");
        put("/proc/self/setgroups", "deny");
        snprintf(text, sizeof text, "%u %u 1", uid, uid);
        put("/proc/self/uid_map", text);
        snprintf(text, sizeof text, "%u %u 1", gid, gid);
        put("/proc/self/gid_map", text);
    }
    snprintf(text, sizeof text, "monotonic %ld 0\nboottime %ld 0\n", want.monotonic, want.boottime);
    put("/proc/self/timens_offsets", text);
}

static void filter_writes(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        die("no seccomp filter");
}

static void begin(char **program) {
    int seized[2];
    char go;
    if (pipe2(seized, O_CLOEXEC) < 0) die("pipe");
    shift_clocks();
    leader = fork();
    if (leader < 0) die("fork");
    if (!leader) {
        close(seized[1]);
        if (read(seized[0], &go, 1) != 1) _exit(125);
        filter_writes();
        fcntl(want.report, F_SETFD, FD_CLOEXEC);
        execvp(*program, program);
        _exit(127);
    }
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
    if (ptrace(PTRACE_SEIZE, leader, NULL, options) < 0) die("seize");
    if (write(seized[1], "g", 1) != 1) die("go");
    close(seized[0]);
    close(seized[1]);
}

#if defined(__x86_64__)
#define FD_ARGUMENT regs.rdi
#define TEXT_ARGUMENT regs.rsi
#define COUNT_ARGUMENT regs.rdx
#elif defined(__aarch64__)
#define FD_ARGUMENT regs.regs[0]
#define TEXT_ARGUMENT regs.regs[1]
#define COUNT_ARGUMENT regs.regs[2]
#else
#error "add the registers of write(2) for this machine"
#endif

static struct user_regs_struct registers_of(pid_t thread) {
    struct user_regs_struct regs = {0};
    struct iovec io = {&regs, sizeof regs};
    if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &io) < 0 && errno != ESRCH) die("no registers");
    return regs;
}

static void halve(pid_t thread) {
    struct user_regs_struct regs = registers_of(thread);
    struct iovec io = {&regs, sizeof regs};
    COUNT_ARGUMENT /= 2;
    if (ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &io) < 0) die("cannot cut the write");
}

static int is_matched(struct user_regs_struct regs) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", leader, (int)FD_ARGUMENT);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t suffix = strlen(want.match);
    if (length < (ssize_t)suffix) return 0;
    path[length] = 0;
    return !strcmp(path + length - suffix, want.match);
}

static int is_candidate(struct user_regs_struct regs) {
    static char text[65536];
    size_t size = COUNT_ARGUMENT < sizeof text ? COUNT_ARGUMENT : sizeof text;
    struct iovec here = {text, size}, there = {(void *)(uintptr_t)TEXT_ARGUMENT, size};
    if (!want.containing) return 1;
    ssize_t got = process_vm_readv(leader, &here, 1, &there, 1, 0);
    return got > 0 && memmem(text, (size_t)got, want.containing, strlen(want.containing));
}

static void strike(void) {
    struck = 1;
    for (int i = 0; i < want.also_count; i++) kill(want.also[i], SIGKILL);
    if (want.how == STOP) kill(leader, SIGSTOP);
    else if (want.how != SPARE) kill(leader, SIGKILL);
    tell("struck", writes);
}

static void on_alarm(int sig) { (void)sig; alarmed = 1; }

static void set_alarm(void) {
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, 1000}, {want.us / 1000000, want.us % 1000000}}; /* again, should waitpid miss it */
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* A write(2) is about to begin. Returns the request that lets the thread go on. */
static long on_write(pid_t thread) {
    struct user_regs_struct regs = registers_of(thread);
    if (struck || !is_matched(regs)) return PTRACE_CONT;
    writes++;
    if (!is_candidate(regs) || ++candidates != want.at) return PTRACE_CONT;
    if (want.us) { set_alarm(); return PTRACE_CONT; }
    if (want.how == BEFORE) { strike(); return PTRACE_CONT; }
    if (want.how == TORN) halve(thread);
    return PTRACE_SYSCALL; /* to its return */
}

static void on_stop(pid_t thread, int status) {
    int sig = WSTOPSIG(status), event = EVENT(status);
    long request = PTRACE_CONT, deliver = 0;
    if (event == PTRACE_EVENT_SECCOMP) request = on_write(thread);
    else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
        request = PTRACE_LISTEN; /* a group stop: stay stopped, and hear of its end */
        if (thread == leader) tell("stopped", writes);
    } else if (sig == (SIGTRAP | 0x80)) { if (!struck) strike(); }
    else if (!event) deliver = sig;
    ptrace((enum __ptrace_request)request, thread, NULL, (void *)deliver); /* a dead one is heard of by waitpid */
}

int main(int argc, char **argv) {
    (void)argc;
    char **program = parse(argv);
    begin(program);
    if (want.us && !want.at) set_alarm();
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno != EINTR) return 0;
        if (alarmed && !struck) strike();
        if (thread < 0) continue;
        if (WIFSTOPPED(status)) on_stop(thread, status);
        else if (thread == leader) {
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            dprintf(want.report, "ended %d %ld\n", code, writes);
            return 0;
        }
    }
}
