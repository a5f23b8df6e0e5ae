"""Ordinary programs behave under the preload object as without it, with a fault armed on every GPU and without one.

The same exit code, the same output, the same errors: shells, interpreters, compilers, static and threaded programs, and
programs that trace, fork and load others. Those that are not installed are skipped by name; on Debian and Ubuntu most
of the missing ones come with apt install busybox-static default-jdk-headless golang-go nodejs.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import compile_c
from tests.kits.shim.shim_node import Node

SHELL = (
    "f() { echo $1; }; trap 'echo bye' EXIT; x=$(f in | cat); echo $x | grep -c in; (exit 4); echo $?; exit 3"
)
GIT = """
set -e; export HOME=$PWD GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z
git init -q -b main a; cd a; git config user.name n; git config user.email e
echo text >file; git add file; git commit -q -m one; git clone -q . b; git -C b log --format=%H; git -C b fsck
"""
PYTHON = """
import ctypes, multiprocessing, os, subprocess, sys, threading
ctypes.CDLL(None).getpid()
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(abs, [-1, -2]))
print(subprocess.run(["sh", "-c", "exit 5"]).returncode); sys.stderr.write("error\\n"); os._exit(7)
"""
PERL = "if (!fork) { exit 3 } wait; print $? >> 8, qx(echo sub); warn 'warned'; exit 9"
NODE = """
const {Worker} = require("worker_threads"), {spawnSync} = require("child_process")
new Worker("console.log('worker')", {eval: true}).on("exit", () => {
  console.log(spawnSync("sh", ["-c", "exit 5"]).status); console.error("error"); process.exitCode = 7 })
"""
JAVA = """
public class Hello {
  public static void main(String[] words) throws Exception {
    Thread thread = new Thread(() -> System.out.println("thread"));
    thread.start(); thread.join();
    System.out.println(new ProcessBuilder("sh", "-c", "exit 5").start().waitFor());
    System.err.println("error"); System.exit(7);
  }
}
"""
GO = """
package main

import ("fmt"; "os"; "os/exec")

func main() {
	done := make(chan string)
	go func() { done <- "goroutine" }()
	fmt.Println(<-done, exec.Command("sh", "-c", "exit 5").Run())
	fmt.Fprintln(os.Stderr, "error"); os.Exit(7)
}
"""
C = '#include <stdio.h>\nint main(void) { puts("compiled"); return 3; }\n'
VFORK = """
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
int main(void) {
  char *words[] = {"sh", "-c", "exit 5", NULL};
  int first, second;
  pid_t pid = vfork();
  if (pid == 0) execvp("sh", words), _exit(1);
  waitpid(pid, &first, 0);
  posix_spawnp(&pid, "sh", NULL, NULL, words, environ);
  waitpid(pid, &second, 0);
  printf("%d %d\\n", WEXITSTATUS(first), WEXITSTATUS(second));
  return 7;
}
"""
MAKEFILE = "all: a b\n\t@cat a b\na b:\n\t@echo $@ >$@\n"
LINES = "b 2\na 1\nc 3\n"

PROGRAMS: dict[str, list[str]] = {
    "bash": ["bash", "-c", SHELL],
    "dash": ["dash", "-c", SHELL],
    "zsh": ["zsh", "-fc", SHELL],
    "ksh": ["ksh", "-c", SHELL],
    "fish": ["fish", "-N", "-c", "for i in 1 2; echo (echo $i); end; exit 3"],
    "busybox": ["busybox", "sh", "-c", SHELL],
    "git": ["sh", "-c", GIT],
    "python3": ["python3", "-c", PYTHON],
    "perl": ["perl", "-e", PERL],
    "ruby": ["ruby", "-e", "puts `echo sub`; Thread.new { puts 1 }.join; exit 3"],
    "php": ["php", "-r", "echo shell_exec('echo sub'); exit(3);"],
    "tclsh": ["sh", "-c", "echo 'puts [exec echo sub]; exit 3' | tclsh"],
    "node": ["node", "-e", NODE],
    "java": ["java", "Hello"],
    "go": ["./hello"],
    "gofmt": ["gofmt", "-l", "hello.go"],
    "rustc": ["rustc", "--version"],
    "gcc": ["sh", "-c", "gcc -o compiled c.c && ./compiled"],
    "vfork": ["./vfork"],
    "make": ["make", "-j2", "--no-print-directory"],
    "cmake": ["cmake", "-P", "list.cmake"],
    "ninja": [
        "sh",
        "-c",
        "echo 'rule r\n  command = echo $out\nbuild x: r' >build.ninja; ninja --quiet; echo $?",
    ],
    "ld": ["ld", "--verbose"],
    "readelf": ["readelf", "-h", "/bin/sh"],
    "objdump": ["objdump", "-f", "/bin/sh"],
    "gdb": ["sh", "-c", "gdb -q -batch -nx -ex run -ex 'print 6 * 7' --args ./vfork 2>&1 | grep -v process"],
    "strace": ["strace", "-f", "-o", "trace", "sh", "-c", "true | cat; exit 5"],
    "awk": ["awk", "{ s += $2 } END { print s; exit 3 }", "lines"],
    "sed": ["sed", "-n", "s/a/A/p", "lines"],
    "grep": ["grep", "-rn", "nothing here", "lines"],
    "find": ["find", "/etc/hostname", "-type", "f", "-exec", "echo", "{}", ";"],
    "xargs": ["sh", "-c", "seq 20 | xargs -P 4 -n 5 echo | sort"],
    "sort": ["sort", "--parallel=2", "lines"],
    "diff": ["diff", "lines", "c.c"],
    "patch": ["sh", "-c", "cp lines l; diff lines c.c | patch l - && cat l"],
    "tar": ["sh", "-c", "tar -c lines c.c | tar -tv | wc -l"],
    "gzip": ["sh", "-c", "gzip -c lines | gunzip"],
    "xz": ["sh", "-c", "xz -T2 -c lines | xz -d"],
    "zstd": ["sh", "-c", "zstd -q -T2 -c lines | zstd -q -d"],
    "openssl": ["openssl", "dgst", "-sha256", "lines"],
    "ssh-keygen": ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"],
    "gpg": ["sh", "-c", "GNUPGHOME=$PWD gpg --batch --print-md sha256 lines 2>&1"],
    "curl": ["curl", "-s", "file:///nowhere"],
    "sqlite3": ["sqlite3", ":memory:", "select 1 + 1; select nothing;"],
    "jq": ["jq", "-n", "[1, 2] | add"],
    "bc": ["sh", "-c", "echo '2^64' | bc"],
    "ed": ["sh", "-c", "printf '1p\nq\n' | ed -s lines"],
    "vim": ["vim", "-es", "-u", "NONE", "+%print", "+qa!", "lines"],
    "ps": ["ps", "-o", "comm=", "-p", "1"],
    "ldd": ["ldd", "/bin/nonexistent"],
    "ldconfig": ["sh", "-c", "/sbin/ldconfig -p | grep -c libc.so"],
    "dpkg": ["dpkg", "-S", "/bin/sh"],
    "apt-get": ["apt-get", "--version"],
    "getent": ["getent", "passwd", "root", "nobody"],
    "id": ["id"],
    "timeout": ["timeout", "-s", "KILL", "0.1", "sleep", "100"],
    "env": ["env", "-i", "sh", "-c", "echo ${LD_PRELOAD-none}"],
    "setpriv": ["setpriv", "--no-new-privs", "sh", "-c", "echo in; exit 3"],
    "flock": ["flock", "lock", "sh", "-c", "exit 3"],
    "unshare": ["unshare", "--user", "true"],
    "su": ["su", "--version"],
    "ip": ["ip", "-V"],
    "lscpu": ["sh", "-c", "lscpu | grep ^Arch"],
    "docker": ["docker", "--version"],
}
NEEDS = {"vfork": "cc", "java": "javac"}
ENOUGH = 40
"""So many of the programs must be there, or the comparison says little; any Debian with a compiler has them."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the programs work on, in a folder that is copied for each."""
    folder = tmp_path_factory.mktemp("programs") / "template"
    folder.mkdir()
    texts = {"Hello.java": JAVA, "hello.go": GO, "c.c": C, "Makefile": MAKEFILE, "lines": LINES}
    for name, text in {**texts, "list.cmake": "message(STATUS hello)\n", "vfork.c": VFORK}.items():
        (folder / name).write_text(text, encoding="utf-8")
    compile_c(folder / "vfork", folder / "vfork.c")
    for command in (["javac", "Hello.java"], ["go", "build", "hello.go"]):
        if shutil.which(command[0]):
            subprocess.run(command, cwd=folder, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    return folder


def outcome(
    command: list[str], folder: Path, template: Path, environment: dict[str, str]
) -> tuple[int, str, str]:
    """What a program does in a fresh folder of the same name each time."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=100
    )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def user(node: Node, *, shim: bool) -> dict[str, str]:
    """The environment of somebody at a terminal of the node."""
    own = {name: os.environ[name] for name in ("HOME", "JAVA_HOME") if name in os.environ}
    return {**node.environment(shim=shim), **own, "LC_ALL": "C", "TZ": "UTC"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_does_not_notice(node: Node, tmp_path: Path, prepared: Path, name: str) -> None:
    if not shutil.which(NEEDS.get(name, name)):
        pytest.skip(f"{name} is not installed")
    folder = tmp_path / "here"
    bare = outcome(PROGRAMS[name], folder, prepared, user(node, shim=False))
    disarmed = outcome(PROGRAMS[name], folder, prepared, user(node, shim=True))
    node.arm(nvml_err=15)
    armed = outcome(PROGRAMS[name], folder, prepared, user(node, shim=True))
    assert disarmed == bare
    assert armed == bare
    assert node.events.read() == []


def test_enough_programs_were_there_to_tell() -> None:
    there = [name for name in PROGRAMS if shutil.which(NEEDS.get(name, name))]
    assert {"bash", "dash", "git", "python3"} <= set(there)
    assert len(there) >= ENOUGH, f"install some of {', '.join(sorted(set(PROGRAMS) - set(there)))}"
