/* The folders of a node: made at the start and given to the served user, and a pod's own as it comes and goes.
 *
 *   run/offbus/page, lib   the control page and the shim; pods have them mounted read-only
 *   run/offbus/events      one folder for each pod, which the kubelet makes as root when it starts a container
 *   var/lib/offbus         the agent's state
 *
 * A folder of root's is given with the files right in it (those of an agent that ran as root); one that is the served
 * user's already is left as it is, because what is in it then is not root's to vouch for. Nothing is followed, and only
 * a file with one name is given. A gone pod's folder may hold whatever its processes made: it is removed entry by entry,
 * so many at a time, and what is nested is moved to the top first, so that depth costs neither stack nor descriptors.
 */
#include <errno.h>

#include "helper.h"

#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK)
#define UNLINK_FOLDER 0x200 /* AT_REMOVEDIR */
#define EMPTY_PATH 0x1000   /* AT_EMPTY_PATH */

struct entry { /* of getdents64(2) */
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};
static _Alignas(8) char entries[2][4096];

static int open_in(int folder, const char *name, int flags) {
  return (int)raw_call(SYS_openat, folder, (long)name, flags | O_CLOEXEC, 0, 0, 0);
}

static bool is_own_name(const char *name) { return !text_equal(name, ".") && !text_equal(name, ".."); }

/* A regular file with one name, looked at and given as the same file. */
static void give_file(int folder, const char *name, const struct settings *to) {
  struct stat found;
  int fd = open_in(folder, name, O_PATH | O_NOFOLLOW);
  if (fd < 0) return;
  if (raw_stat(fd, &found) && S_ISREG(found.st_mode) && found.st_nlink == 1)
    raw_call(SYS_fchownat, fd, (long)"", (long)to->uid, (long)to->gid, EMPTY_PATH, 0);
  raw_close(fd);
}

static void give_files(int folder, const struct settings *to) {
  for (long got; (got = raw_call(SYS_getdents64, folder, (long)entries[0], sizeof entries[0], 0, 0, 0)) > 0;)
    for (long at = 0; at < got; at += ((struct entry *)(entries[0] + at))->size)
      give_file(folder, ((struct entry *)(entries[0] + at))->name, to);
}

/* A folder with this mode, the served user's. */
static long give_folder(int fd, unsigned mode, const struct settings *to) {
  long done = raw_call(SYS_fchmod, fd, mode, 0, 0, 0, 0);
  return done < 0 ? done : raw_call(SYS_fchown, fd, (long)to->uid, (long)to->gid, 0, 0, 0);
}

static bool complain(const char *path, const char *what, long error) {
  struct line line = {0, ""};
  line_add(&line, "offbus-kmsg-helper: ");
  line_add(&line, path);
  line_add(&line, what);
  line_add_number(&line, -error);
  line_say(&line);
  return false;
}

/* Makes one of the folders; its name is below the root. */
static bool make(const struct settings *of, const char *name, unsigned mode, bool gives) {
  struct text path = {0};
  struct stat found;
  text_add(&path, of->root);
  text_add(&path, name);
  long made = raw_call(SYS_mkdirat, AT_FDCWD, (long)path.bytes, 0700, 0, 0, 0);
  if (made < 0 && made != -EEXIST) return complain(path.bytes, " cannot be made: errno ", made);
  int fd = raw_open(path.bytes, FOLDER);
  if (fd < 0) return complain(path.bytes, " is not a folder: errno ", fd);
  long done = 0;
  if (gives && raw_stat(fd, &found) && (made == 0 || found.st_uid != of->uid)) {
    give_files(fd, of);
    done = give_folder(fd, mode, of);
  } else if (!gives && made == 0) {
    done = raw_call(SYS_fchmod, fd, mode, 0, 0, 0, 0);
  }
  raw_close(fd);
  return done == 0 || complain(path.bytes, " cannot be given: errno ", done);
}

/* The files of an agent of 0.1, which had these names in the folder itself. */
static void remove_old_file(const struct settings *of, const char *name) {
  struct text path = {0};
  struct stat found;
  text_add(&path, of->root);
  text_add(&path, name);
  int fd = raw_open(path.bytes, O_PATH | O_NOFOLLOW);
  if (fd < 0) return;
  if (raw_stat(fd, &found) && S_ISREG(found.st_mode)) raw_call(SYS_unlinkat, AT_FDCWD, (long)path.bytes, 0, 0, 0, 0);
  raw_close(fd);
}

bool folders_make(const struct settings *of) {
  remove_old_file(of, "/run/offbus/ctl");
  remove_old_file(of, "/run/offbus/events");
  return make(of, "/run", 0755, false) && make(of, "/run/offbus", 0755, false) &&
         make(of, "/run/offbus/page", 0755, true) && make(of, "/run/offbus/lib", 0755, true) &&
         make(of, "/run/offbus/events", 0700, true) && make(of, "/var", 0755, false) &&
         make(of, "/var/lib", 0755, false) && make(of, "/var/lib/offbus", 0700, true);
}

static int open_pods(const struct settings *of) {
  struct text path = {0};
  text_add(&path, of->root);
  text_add(&path, "/run/offbus/events");
  return raw_open(path.bytes, FOLDER);
}

static void fail(struct offbus_answer *answer, long error) {
  answer->status = error == -ENOENT ? OFFBUS_NOT_FOUND : OFFBUS_FAILED;
  answer->error = (int32_t)-error;
}

void folder_give_pod(const struct settings *of, const char *uid, struct offbus_answer *answer) {
  struct stat found;
  int pods = open_pods(of), fd = pods < 0 ? pods : open_in(pods, uid, FOLDER);
  if (pods >= 0) raw_close(pods);
  if (fd < 0) return fail(answer, fd);
  long done = raw_stat(fd, &found) ? 0 : -EIO;
  if (!done && found.st_uid && found.st_uid != of->uid) answer->status = OFFBUS_OTHERS;
  else if (!done) done = give_folder(fd, 0755, of);
  raw_close(fd);
  if (done < 0) fail(answer, done);
}

/* A name that nobody can have chosen. */
static void make_up_name(char name[17]) {
  uint64_t bits = 0;
  raw_call(SYS_getrandom, (long)&bits, sizeof bits, 0, 0, 0, 0);
  for (unsigned i = 0; i < 16; i++) name[i] = "0123456789abcdef"[bits >> (4 * i) & 15];
  name[16] = 0;
}

/* Removes what is in an open folder, or moves it to `top` when it is a folder itself: `most` entries at most. How many
 * were handled; 0 for an empty folder; negative errno. */
static long clear(int folder, int top, long most) {
  bool is_top = folder == top;
  char *room = entries[is_top ? 0 : 1], name[17];
  long handled = 0, done = 0;
  raw_call(SYS_lseek, folder, 0, 0, 0, 0, 0);
  long got = raw_call(SYS_getdents64, folder, (long)room, sizeof entries[0], 0, 0, 0);
  for (long at = 0; at < got && handled < most && done >= 0; at += ((struct entry *)(room + at))->size) {
    const char *one = ((struct entry *)(room + at))->name;
    if (!is_own_name(one)) continue;
    handled++;
    done = raw_call(SYS_unlinkat, folder, (long)one, 0, 0, 0, 0);
    if (done != -EISDIR) continue;
    if (!is_top) {
      make_up_name(name);
      done = raw_call(SYS_renameat2, folder, (long)one, top, (long)name, 0, 0);
      continue;
    }
    int inner = open_in(folder, one, FOLDER);
    long inside = inner < 0 ? inner : 1;
    while (inside > 0 && handled < most) {
      inside = clear(inner, top, most - handled);
      handled += inside > 0 ? inside : 0;
    }
    if (inner >= 0) raw_close(inner);
    done = inside < 0 ? inside : inside ? 0 : raw_call(SYS_unlinkat, folder, (long)one, UNLINK_FOLDER, 0, 0, 0);
  }
  return got < 0 ? got : done < 0 ? done : handled;
}

void folder_remove_pod(const struct settings *of, const char *uid, uint32_t most, struct offbus_answer *answer) {
  long left = most > INT32_MAX ? INT32_MAX : (long)most, done = 1;
  int pods = open_pods(of), fd = pods < 0 ? pods : open_in(pods, uid, FOLDER);
  while (fd >= 0 && left > 0 && (done = clear(fd, fd, left)) > 0) left -= done;
  if (fd >= 0) raw_close(fd);
  if (fd >= 0 && !done) done = raw_call(SYS_unlinkat, pods, (long)uid, UNLINK_FOLDER, 0, 0, 0), answer->number = !done;
  if (pods >= 0) raw_close(pods);
  if (fd < 0 || done < 0) fail(answer, fd < 0 ? fd : done);
}
