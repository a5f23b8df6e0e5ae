"""The shim's own code under sanitizers, fuzzers and valgrind: clean in every mode, with threads, on any page.

Its core is linked into the programs (`make core`), because a preload object cannot be under a sanitizer whose run-time
starts after it; valgrind sees the preload object itself. clang's libFuzzer and valgrind are wanted: Debian, Ubuntu:
apt install clang libclang-rt-dev valgrind
"""

import os
import select
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from offbus_agent.page.control import CallClass, FaultMode
from tests.kits.shim.shim_build import PROGRAMS, SHIM
from tests.kits.shim.shim_node import GPUS, Node, Program, hung

MEMORY, THREADS = "address,undefined", "thread"
REPORT = {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}
FUZZED_SEEDS = (1, 2)
FUZZED_INPUTS = 5000
SECOND_SLOT = (0x4000 + 342).to_bytes(2, "little") + b"\x02\x01\x00"
"""A seed for the fuzzer: the patch that enables the second slot."""
TSAN_BITS = 28
"""As many random bits of addresses as the thread sanitizer of gcc 12 can live with."""

pytestmark = pytest.mark.timeout(900)
"""A watchdog: on an idle machine the longest takes half a minute."""

Harness = Callable[..., Path]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory, native: Path) -> Harness:
    """Compiles a program together with the core, all of it under a sanitizer; each core is made once."""
    folder = tmp_path_factory.mktemp("sanitized")

    def compiled(source: str, sanitizer: str, *flags: str, cc: str = "gcc") -> Path:
        plain = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-O1", "-g"]
        plain += ["-Wno-tsan"] if cc == "gcc" else []
        inner = [flag.replace("=fuzzer,", "=fuzzer-no-link,") for flag in plain]
        core, program = folder / f"{cc}-{sanitizer}", folder / f"{source}-{cc}-{sanitizer}"
        build = ["make", "-s", "-C", SHIM, "core", f"CC={cc}", f"CFLAGS={' '.join(inner)}", f"BUILD={core}"]
        libraries = [f"-L{native / 'standin'}", "-Wl,--no-as-needed", "-l:libcuda.so.1"]
        link = [cc, *plain, "-D_GNU_SOURCE", f"-I{SHIM / 'include'}", *flags, "-o", program]
        link += [PROGRAMS / source, core / "core.o", "-pthread", *libraries, "-l:libnvidia-ml.so.1"]
        for command in (build, link):
            done = subprocess.run(command, capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
        return program

    return compiled


def environment(node: Node) -> dict[str, str]:
    """That of a program which has the shim inside."""
    return {**node.environment(LD_PRELOAD=""), **REPORT}


def command(program: Path, sanitizer: str) -> list[str | Path]:
    """The thread sanitizer wants addresses less random than some kernels make them."""
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    too_random = sanitizer == THREADS and bits.exists() and int(bits.read_text()) > TSAN_BITS
    return ["setarch", os.uname().machine, "-R", program] if too_random else [program]


def tour(node: Node, program: Program) -> None:
    """Through every mode, on a GPU and on all, with what lasts and what does not."""
    assert program.greeting == "ready"
    assert program.asks("init", "use 0", "work", "sync", "fork") == ["0", "0", "0", "0", "3"]
    node.arm(gpu=GPUS[0], nvml_err=15, xid=79)
    assert program.asks("sync", "use 1", "work", "fork") == ["719", "0", "0", "3"]
    assert program.asks("use 0", "alloc") == ["0", "719"]
    node.arm(fault_id="b", gpu=GPUS[1], cuda_err=214)
    assert program.asks("use 1", "sync", "use 0", "sync") == ["0", "214", "0", "719"]
    node.ctl.disarm("b")
    node.arm(classes=CallClass.SYNC, sticky=True, after_calls=2)
    assert program.asks("sync", "sync", "sync", "alloc") == ["0", "0", "719", "719"]
    node.arm(ppm=500_000, seed=7)
    assert set(program.asks(*["sync"] * 80)) == {"0", "719"}
    node.arm(mode=FaultMode.DELAY, delay_us=1000, classes=CallClass.SYNC)
    assert program.asks("sync", "alloc", "free") == ["0", "0", "0"]
    hang(node, program)
    node.arm(gpu=GPUS[0], mode=FaultMode.LOST, cuda_err=999, sticky=True, survive_disarm=True)
    assert program.asks("alloc", "sync") == ["999", "999"]
    node.ctl.disarm("fault-1")
    assert program.asks("sync", "use 1", "work", "version") == ["999", "0", "0", "0 12080"]


def hang(node: Node, program: Program) -> None:
    """A call that hangs until the fault is taken off."""
    bell = hung(node)
    node.arm(mode=FaultMode.HANG, classes=CallClass.SYNC)
    program.tell("sync")
    assert select.select([bell.fd], [], [], 60)[0] == [bell.fd]
    bell.close()
    node.ctl.disarm("fault-1")
    assert program.answer() == "0"


def reports(errors: str) -> list[str]:
    """What stderr has besides the shim's own lines."""
    return [line for line in errors.splitlines() if not line.startswith("offbus: drill ")]


@pytest.mark.parametrize("sanitizer", [MEMORY, THREADS])
def test_every_mode_is_clean(node: Node, harness: Harness, sanitizer: str) -> None:
    program = harness("probe.c", sanitizer, "-DVIA_LINK")
    with Program(command(program, sanitizer), environment(node)) as started:
        tour(node, started)
        assert reports(started.end()) == []


@pytest.mark.parametrize("sanitizer", [MEMORY, THREADS])
def test_threads_forks_and_changes_of_the_page_are_clean(
    node: Node, harness: Harness, sanitizer: str
) -> None:
    """Five threads that allocate, monitor and look names up, while faults come and go and children are made."""
    program = harness("threads.c", sanitizer)
    with Program(command(program, sanitizer), environment(node)) as started:
        assert started.greeting == "ready"
        for n in range(20):
            both = {"sticky": True, "survive_disarm": n == 19}
            await_faulted(node, node.arm(gpu=GPUS[0], nvml_err=15, xid=79, **both))
            await_faulted(node, node.arm(fault_id="b", gpu=GPUS[1], cuda_err=214, nvml_err=16))
            node.ctl.disarm("fault-1")
            node.ctl.disarm("b")
        codes = started.ask("").split()
        assert codes[-1] == "done"
        assert {"0", "214", "719"} <= set(codes)
        assert reports(started.end()) == []


def await_faulted(node: Node, generation: int) -> None:
    """Until a call was faulted by this arming."""
    bell = hung(node)
    try:
        while not any(row.generation == generation and row.faulted for row in node.events.read()):
            select.select([bell.fd], [], [])  # a row is written after what it tells
            bell.silence()
    finally:
        bell.close()


def test_a_sanitizer_would_have_told(harness: Harness) -> None:
    """The core is really under them: its objects call their run-times."""
    for sanitizer, names in (
        (MEMORY, ("__asan_report_load8", "__ubsan_handle_")),
        (THREADS, ("__tsan_read8",)),
    ):
        core = harness("probe.c", sanitizer, "-DVIA_LINK").parent / f"gcc-{sanitizer}" / "core.o"
        symbols = subprocess.run(["nm", core], capture_output=True, text=True, check=True).stdout
        assert all(name in symbols for name in names)


@pytest.fixture
def armed(node: Node) -> Node:
    """A node whose files are the start of every fuzzed input."""
    node.arm(gpu=GPUS[0], nvml_err=15, sticky=True, xid=79, remapped_uncorrectable=1, ecc_uncorrected=1)
    return node


@pytest.mark.parametrize("seed", FUZZED_SEEDS)
def test_no_page_breaks_a_program(armed: Node, harness: Harness, seed: int) -> None:
    """Versions, offsets, slots, sequence, hostile rows: memory stays whole, and answers are those of the page."""
    program = harness("fuzz_page.c", MEMORY, "-DSTANDALONE")
    done = subprocess.run(
        [program, str(FUZZED_INPUTS), str(seed)], env=environment(armed), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, reports(done.stderr)) == (0, f"{FUZZED_INPUTS} inputs\n", [])


def has_libfuzzer(folder: Path) -> bool:
    """Whether clang is there with the run-time of its fuzzer."""
    source = folder / "nothing.c"
    source.write_text("int LLVMFuzzerTestOneInput(void) { return 0; }\n", encoding="ascii")
    compiler = shutil.which("clang")
    flags = [f"-fsanitize=fuzzer,{MEMORY}", "-o", str(folder / "nothing"), str(source)]
    return compiler is not None and subprocess.run([compiler, *flags], capture_output=True).returncode == 0


def test_a_fuzzer_that_follows_the_code_breaks_nothing(armed: Node, harness: Harness) -> None:
    if not has_libfuzzer(armed.folder):
        pytest.skip("clang with libFuzzer is wanted: apt install clang libclang-rt-dev")
    program = harness("fuzz_page.c", f"fuzzer,{MEMORY}", cc="clang")
    corpus = armed.folder / "corpus"
    corpus.mkdir()
    (corpus / "second-slot").write_bytes(SECOND_SLOT)
    runs = [f"-runs={FUZZED_INPUTS}", "-seed=1", "-max_len=256", f"-artifact_prefix={armed.folder}/"]
    done = subprocess.run([program, *runs, corpus], env=environment(armed), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {FUZZED_INPUTS} runs" in done.stderr


def test_valgrind_finds_nothing_in_the_preload_object(node: Node, programs: Path) -> None:
    if not shutil.which("valgrind"):
        pytest.skip("valgrind is wanted: apt install valgrind")
    watched = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", programs / "dlsym"]
    with Program(watched, node.environment()) as started:
        tour(node, started)
        assert reports(started.end()) == []
