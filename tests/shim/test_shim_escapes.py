"""The known ways around the shim: what the preload object and the proxies see of each (the table in docs/shim.md)."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import PROGRAMS, SHIM, compile_c
from tests.kits.shim.shim_node import Node, Program

QUESTIONS = ("init", "use 0", "sync")
SEEN, MISSED = ["0", "0", "719"], ["0", "0", "0"]
Ask = Callable[[Sequence[str | Path], dict[str, str]], list[str]]


@pytest.fixture
def ask(node: Node) -> Ask:
    """Arm after the program is ready, then ask it."""

    def run(command: Sequence[str | Path], environment: dict[str, str]) -> list[str]:
        with Program(command, environment) as program:
            assert program.greeting == "ready"
            answers = program.asks(*QUESTIONS[:2])
            node.arm()
            answers.append(program.ask(QUESTIONS[2]))
        node.ctl.disarm("fault-1")
        return answers

    return run


WAYS = {
    "linked": (["now"], SEEN),
    "dlopen and dlsym": (["dlsym"], SEEN),
    "cuGetProcAddress": (["proc_address"], SEEN),
    "plug-in with RTLD_DEEPBIND, linked": (["loader", "deepbind", "linked.so"], SEEN),
    "plug-in with RTLD_DEEPBIND, dlsym": (["loader", "deepbind", "dlsym.so"], SEEN),
    "driver in a dlmopen namespace": (["dlmopen"], SEEN),
    "plug-in in a dlmopen namespace": (["loader", "namespace", "dlsym.so"], MISSED),
    "walk of the symbol table": (["walk"], MISSED),
}


@pytest.mark.parametrize(("words", "preload"), WAYS.values(), ids=WAYS)
def test_what_each_build_sees(
    node: Node, programs: Path, ask: Ask, words: list[str], preload: list[str]
) -> None:
    command = [word if word in ("deepbind", "namespace") else programs / word for word in words]
    assert ask(command, node.environment()) == preload
    assert ask(command, node.proxied()) == SEEN


@pytest.fixture
def image(node: Node, programs: Path) -> Path:
    """An image with the proxy where the driver was, the real one below it, page and events beside `lib`."""
    lib = node.folder / "mounted" / "lib"
    (lib / "real").mkdir(parents=True)
    for name, file in (("page", "ctl"), ("events", "events")):  # as a pod has them mounted
        (node.folder / "mounted" / name).mkdir(parents=True)
        os.link(node.folder / file, node.folder / "mounted" / name / file)
    shutil.copy(node.native / "proxy/libcuda.so.1", lib)
    shutil.copy(node.native / "standin/libcuda.so.1", lib / "real")
    shutil.copy(node.native / "liboffbus.so", lib)
    link = ("-L", lib, "-l:libcuda.so.1", f"-Wl,-rpath,{lib}", "-Wl,--allow-shlib-undefined")
    return compile_c(node.folder / "program", PROGRAMS / "probe.c", "-DVIA_LINK", *link)


def test_a_process_with_an_emptied_environment(node: Node, programs: Path, image: Path, ask: Ask) -> None:
    """`env -i`: the preload object goes with its variable; the loader finds the proxy, and the proxy the page."""
    gpus = f"OFFBUS_STANDIN_GPUS={node.folder / 'gpus'}"
    standin = f"LD_LIBRARY_PATH={node.native / 'standin'}"
    assert ask(["env", "-i", gpus, standin, programs / "now"], node.environment()) == MISSED
    assert ask(["env", "-i", gpus, image], node.environment()) == SEEN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program with other rights")
def test_a_program_with_other_rights(node: Node, programs: Path, image: Path, ask: Ask) -> None:
    """setuid, setgid, file capabilities: the loader drops LD_PRELOAD, and the proxy believes no variable."""
    os.chown(image, 0, 65534)
    image.chmod(0o2755)
    environment = node.environment(OFFBUS_REAL_LIBCUDA="/nowhere", OFFBUS_PAGE_DIR="/nowhere")
    assert ask([image], environment) == SEEN


PRELOAD_FILE = """
set -e
mkdir "$1/upper" "$1/work"
echo "$1/mounted/lib/liboffbus.so" >"$1/upper/ld.so.preload"
mount -t tmpfs none "$1/work"
mkdir "$1/work/u" "$1/work/w"
cp "$1/upper/ld.so.preload" "$1/work/u"
mount -t overlay none -o "lowerdir=/etc,upperdir=$1/work/u,workdir=$1/work/w" /etc
shift
exec env -i "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_preload_file_reaches_an_emptied_environment(
    node: Node, programs: Path, image: Path, ask: Ask
) -> None:
    """/etc/ld.so.preload, seen by this process alone (a mount namespace): the files are beside the folder."""
    try:
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mount namespaces are not to be had here")
    variables = (f"OFFBUS_STANDIN_GPUS={node.folder / 'gpus'}", f"LD_LIBRARY_PATH={node.native / 'standin'}")
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        PRELOAD_FILE,
        "sh",
        node.folder,
        *variables,
        programs / "now",
    ]
    assert ask(command, node.environment(shim=False)) == SEEN


def test_a_process_that_started_before_the_shim_was_there(node: Node, programs: Path, ask: Ask) -> None:
    assert ask([programs / "dlsym"], node.environment(shim=False)) == MISSED


def test_a_statically_linked_program_is_not_reached_and_not_harmed(node: Node, tmp_path: Path) -> None:
    source = tmp_path / "static.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("static"); return 7; }\n', encoding="ascii")
    program = compile_c(tmp_path / "static", source, "-static")
    done = subprocess.run([program], env=node.environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "static\n", "")


EXPORT_TABLE = """
import ctypes
cuda, table = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
cuda.cuInit(0)
print(cuda.cuGetExportTable(ctypes.byref(table), b"0" * 16))
"""


def test_export_tables_pass_untouched(node: Node) -> None:
    """What cudart checks a driver with is the driver's own answer, also while a fault is armed."""
    script = EXPORT_TABLE
    node.arm(new_procs=False)
    for environment in (node.environment(shim=False), node.environment(), node.proxied()):
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.stdout == "500\n"


ORDERS = {"before the shim": "{other}:{shim}", "behind the shim": "{shim}:{other}"}
STYLES = {"RTLD_NEXT": ["-DFROM_NEXT"], "its own dlsym": ["-Wl,-Bsymbolic"]}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("program", ["now", "dlsym"])
def test_another_preloaded_object_is_chained(
    node: Node, programs: Path, tmp_path: Path, program: str, style: list[str], order: str
) -> None:
    """It counts as many calls as without the shim, and the fault shows through it."""
    other = compile_c(tmp_path / "other.so", PROGRAMS / "interposer.c", "-shared", "-fPIC", *style)
    shim = node.native / "liboffbus.so"
    questions = ("init", "use 0", "alloc", "alloc", "free")
    counts = []
    for preload in (str(other), order.format(other=other, shim=shim)):
        with node.start(programs / program, LD_PRELOAD=preload) as started:
            assert started.asks(*questions) == ["0"] * 5
            counts.append(started.end())
    with node.start(programs / program, LD_PRELOAD=order.format(other=other, shim=shim)) as started:
        assert started.asks(*questions) == ["0"] * 5
        node.arm()
        assert started.asks("sync", "alloc") == ["719", "719"]
    assert counts[0] == counts[1]
    if program == "now":
        assert counts[0] == "interposer: 2\n"


def test_both_builds_in_one_process(node: Node, programs: Path, ask: Ask) -> None:
    both = node.proxied(LD_PRELOAD=str(node.native / "liboffbus.so"))
    assert ask([programs / "dlsym"], both) == SEEN


def test_a_proxy_without_a_driver_says_so(node: Node, programs: Path) -> None:
    environment = node.proxied(
        LD_LIBRARY_PATH=str(node.native / "proxy"), OFFBUS_REAL_LIBCUDA="/nowhere/libcuda.so.1"
    )
    with Program([programs / "dlsym"], environment) as program:
        assert program.asks("init", "count") == ["303", "303 0"]
        assert "the real one was not found (OFFBUS_REAL_LIBCUDA)" in program.end()


def test_two_proxies_find_the_driver_and_not_each_other(node: Node, programs: Path, ask: Ask) -> None:
    """One baked into the image, one mounted: each is "another file" to the other."""
    baked = node.folder / "baked"
    shutil.copytree(node.native / "proxy", baked)
    path = os.pathsep.join(str(folder) for folder in (node.native / "proxy", baked, node.native / "standin"))
    assert ask([programs / "dlsym"], node.proxied(LD_LIBRARY_PATH=path)) == SEEN


def test_every_row_of_the_escape_table_names_a_test_that_exists() -> None:
    page = (SHIM.parent / "docs/shim.md").read_text(encoding="utf-8")
    table = page.split("## Ways around it")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    tests = {
        f"{path.name}::{name}"
        for path in Path(__file__).parent.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(rows) >= 12
    for row in rows:
        named = re.findall(r"`(test_\w+\.py::test_\w+)`", row)
        assert named, row
        assert set(named) <= tests, row
