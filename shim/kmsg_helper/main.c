/* The program offbus-kmsg-helper: options, one socket, one question after the other.
 *
 *   offbus-kmsg-helper --socket=PATH --uid=N --gid=N --log=PATH [--root=PATH] [--lines-per-hour=N] [--gpus=N]
 *                      [--stop-file=PATH]...
 *
 * Started by `offbus-agent kmsg-helper`, which has the help and the defaults. The socket is the served user's, mode
 * 0600, and who connects is looked at (SO_PEERCRED). A packet is waited for briefly, so that nobody who is silent
 * keeps others waiting. What may wait for a pod's file system is asked by a child, which is killed in time and not
 * waited for. Once all is open, it gives up what no answer needs (confine.c). Ends on SIGTERM or SIGINT. Exit status: 0;
 * 2 for options that cannot work; 3 when the node cannot be served.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "helper.h"

#define SILENT_S 1
#define CHILD_S 3
#define MOST_CHILDREN 3
#define SIGTERM_BIT (1ull << 14)
#define SIGINT_BIT (1ull << 1)

enum { INVALID = 2, COULD_NOT_RUN = 3 };

static _Alignas(8) char packet[sizeof(struct offbus_ask_metadata) + 1];
static struct offbus_answer answer;
static unsigned children;

static _Noreturn void leave(int status) {
  for (;;) raw_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

static _Noreturn void refuse(int status, const char *what, const char *which, long error) {
  struct line line = {0, ""};
  line_add(&line, "offbus-kmsg-helper: ");
  line_add(&line, what);
  line_add(&line, which);
  if (error) line_add(&line, ": errno "), line_add_number(&line, -error);
  line_say(&line);
  leave(status);
}

/* The value of an option, or null. */
static const char *value_of(const char *word, const char *option) {
  return text_starts(word, option) ? word + text_length(option) : NULL;
}

static uint64_t number_of(const char *word, const char *value, uint64_t least, uint64_t most) {
  uint64_t number;
  if (!text_reads_number(&value, 10, &number) || *value || number < least || number > most)
    refuse(INVALID, "not a number in its bounds: ", word, 0);
  return number;
}

static void read_option(struct settings *into, const char *word) {
  const char *value;
  unsigned stops = 0;
  while (into->stop_files[stops]) stops++;
  if ((value = value_of(word, "--socket="))) into->socket = value;
  else if ((value = value_of(word, "--log="))) into->log = value;
  else if ((value = value_of(word, "--root="))) into->root = value;
  else if ((value = value_of(word, "--uid="))) into->uid = number_of(word, value, 0, UINT32_MAX - 1);
  else if ((value = value_of(word, "--gid="))) into->gid = number_of(word, value, 0, UINT32_MAX - 1);
  else if ((value = value_of(word, "--gpus="))) into->gpus = number_of(word, value, 1, MOST_GPUS);
  else if ((value = value_of(word, "--lines-per-hour=")))
    into->lines_per_hour = number_of(word, value, 1, MOST_LINES_PER_HOUR);
  else if ((value = value_of(word, "--stop-file=")) && stops < MOST_STOP_FILES) into->stop_files[stops] = value;
  else refuse(INVALID, "unknown option, or one too many: ", word, 0);
}

static void read_options(struct settings *into, int count, char **words) {
  *into = (struct settings){.root = "", .uid = UINT64_MAX, .gid = UINT64_MAX, .lines_per_hour = 600, .gpus = 16};
  for (int i = 1; i < count; i++) read_option(into, words[i]);
  if (!into->socket || !into->log || into->uid == UINT64_MAX || into->gid == UINT64_MAX)
    refuse(INVALID, "--socket, --log, --uid and --gid are needed", "", 0);
}

static void set_address(struct sockaddr_un *address, const char *path, const char *ending) {
  struct text whole = {0};
  text_add(&whole, path);
  text_add(&whole, ending);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (whole.used >= sizeof address->sun_path) refuse(INVALID, "the socket's path is too long: ", path, 0);
  memcpy(address->sun_path, whole.bytes, whole.used);
}

/* A dead helper's socket is replaced, nothing else. */
static void remove_stale(const struct sockaddr_un *address) {
  struct stat found;
  int fd = raw_open(address->sun_path, O_PATH | O_NOFOLLOW);
  bool is_socket = fd >= 0 && raw_stat(fd, &found) && S_ISSOCK(found.st_mode);
  if (fd >= 0) raw_close(fd);
  if (fd >= 0 && !is_socket) refuse(COULD_NOT_RUN, "exists and is not a socket: ", address->sun_path, 0);
  int probe = (int)raw_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0);
  if (fd >= 0 && raw_call(SYS_connect, probe, (long)address, sizeof *address, 0, 0, 0) == 0)
    refuse(COULD_NOT_RUN, "another program listens on ", address->sun_path, 0);
  raw_close(probe);
}

/* Made as the served user, and under its name only when it listens: who finds it can connect. */
static int listen_on(const struct settings *with) {
  struct sockaddr_un address, aside;
  set_address(&address, with->socket, "");
  set_address(&aside, with->socket, ".new");
  remove_stale(&address);
  int fd = (int)raw_call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0, 0, 0);
  raw_call(SYS_unlinkat, AT_FDCWD, (long)aside.sun_path, 0, 0, 0, 0);
  raw_call(SYS_umask, 0177, 0, 0, 0, 0, 0);
  raw_call(SYS_setfsgid, (long)with->gid, 0, 0, 0, 0, 0);
  raw_call(SYS_setfsuid, (long)with->uid, 0, 0, 0, 0, 0);
  long done = raw_call(SYS_bind, fd, (long)&aside, sizeof aside, 0, 0, 0);
  if (!done) done = raw_call(SYS_listen, fd, 16, 0, 0, 0, 0);
  if (!done)
    done = raw_call(SYS_renameat2, AT_FDCWD, (long)aside.sun_path, AT_FDCWD, (long)address.sun_path, 0, 0);
  raw_call(SYS_setfsuid, raw_call(SYS_geteuid, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0);
  raw_call(SYS_setfsgid, raw_call(SYS_getegid, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0);
  raw_call(SYS_umask, 0, 0, 0, 0, 0, 0);
  if (done < 0)
    refuse(COULD_NOT_RUN, "the served user cannot make the socket in its folder: ", address.sun_path, done);
  return fd;
}

static void send_answer(int to) {
  raw_call(SYS_sendto, to, (long)&answer, offsetof(struct offbus_answer, text) + answer.length + 1,
           MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
}

/* In a child, which an alarm ends; one that hangs in the kernel is counted until it has ended. */
static void answer_in_child(const struct settings *with, int to) {
  while (children && raw_call(SYS_wait4, -1, 0, 1 /* WNOHANG */, 0, 0, 0) > 0) children--;
  if (children >= MOST_CHILDREN) {
    answer.status = OFFBUS_BUSY;
    return send_answer(to);
  }
  long child = raw_call(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
  if (child > 0) children++;
  if (child < 0) answer.status = OFFBUS_FAILED, answer.error = (int32_t)-child, send_answer(to);
  if (child) return;
  struct {
    struct timeval interval, value;
  } alarm = {{0, 0}, {CHILD_S, 0}};
  raw_call(SYS_setitimer, 0 /* ITIMER_REAL */, (long)&alarm, 0, 0, 0, 0);
  answer_slowly(with, packet, &answer);
  send_answer(to);
  leave(0);
}

static void serve(const struct settings *with, int peer) {
  struct {
    int32_t pid;
    uint32_t uid, gid;
  } who = {0, 0, 0};
  uint32_t size = sizeof who;
  struct timeval silent = {SILENT_S, 0};
  raw_call(SYS_getsockopt, peer, SOL_SOCKET, 17 /* SO_PEERCRED */, (long)&who, (long)&size, 0);
  raw_call(SYS_setsockopt, peer, SOL_SOCKET, SO_RCVTIMEO, (long)&silent, sizeof silent, 0);
  long got = raw_call(SYS_recvfrom, peer, (long)packet, sizeof packet, 0, 0, 0);
  if (got <= 0) return;
  bool is_served = size == sizeof who && who.pid && who.uid == with->uid;
  if (!is_served) answer_start(&answer, OFFBUS_STRANGER); /* it was read only for this to arrive */
  if (!is_served || answer_to(with, packet, (size_t)got, &answer)) send_answer(peer);
  else answer_in_child(with, peer);
}

static _Noreturn void serve_all(const struct settings *with, int listener) {
  uint64_t ends = SIGTERM_BIT | SIGINT_BIT;
  raw_call(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&ends, 0, sizeof ends, 0, 0);
  int signals = (int)raw_call(SYS_signalfd4, -1, (long)&ends, sizeof ends, 02000000 /* SFD_CLOEXEC */, 0, 0);
  for (;;) {
    struct pollfd waited[2] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}};
    raw_call(SYS_ppoll, (long)waited, 2, 0, 0, 0, 0);
    if (waited[1].revents) break;
    int peer = (int)raw_call(SYS_accept4, listener, 0, 0, SOCK_CLOEXEC, 0, 0);
    if (peer < 0) continue;
    serve(with, peer);
    raw_close(peer);
  }
  raw_call(SYS_unlinkat, AT_FDCWD, (long)with->socket, 0, 0, 0, 0);
  leave(0);
}

_Noreturn void offbus_main(long *stack) {
  struct settings with;
  line_start();
  read_options(&with, (int)stack[0], (char **)(stack + 1));
  if (!folders_make(&with)) leave(COULD_NOT_RUN);
  int listener = listen_on(&with);
  long confined = confine();
  if (confined < 0) refuse(COULD_NOT_RUN, "it cannot give up what it does not need", "", confined);
  serve_all(&with, listener);
}

/* Where the kernel starts: the stack holds the number of arguments, then the arguments. */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call offbus_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n  mov x29, #0\n  mov x30, #0\n  mov x0, sp\n  bl offbus_main\n");
#endif
