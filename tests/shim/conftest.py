"""What the tests of the shim share: the C parts, built from the sources at hand, and a node to run programs on."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import PROGRAMS, SHIM, compile_c
from tests.kits.shim.shim_node import Node, Program


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shim/ built into a folder of the session's own: objects in it, the installed parts in `native`."""
    folder = tmp_path_factory.mktemp("shim-build")
    command = ["make", "-s", "-C", str(SHIM), f"BUILD={folder}", f"NATIVE={folder / 'native'}", "install"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="session")
def native(build: Path) -> Path:
    """The folder of the built parts, laid out as it is installed."""
    return build / "native"


@pytest.fixture(scope="session")
def programs(build: Path, native: Path) -> Path:
    """The folder of the compiled test programs."""
    folder = build / "programs"
    folder.mkdir()
    cuda = ("-L", native / "standin", "-l:libcuda.so.1")
    probe = PROGRAMS / "probe.c"
    compile_c(folder / "dlsym", probe, "-DVIA_DLSYM")
    compile_c(folder / "proc_address", probe, "-DVIA_PROC_ADDRESS")
    compile_c(folder / "dlmopen", probe, "-DVIA_DLMOPEN")
    compile_c(folder / "walk", probe, "-DVIA_WALK")
    compile_c(folder / "lazy", probe, "-DVIA_LINK", *cuda, "-Wl,-z,lazy")
    compile_c(folder / "now", probe, "-DVIA_LINK", *cuda, "-Wl,-z,now")
    for name, how in (("linked.so", ("-DVIA_LINK", *cuda)), ("dlsym.so", ("-DVIA_DLSYM",))):
        compile_c(folder / name, probe, "-shared", "-fPIC", "-DAS_PLUGIN", *how)
    compile_c(folder / "loader", PROGRAMS / "loader.c")
    compile_c(folder / "versioned", PROGRAMS / "versioned.c")
    compile_c(folder / "absent", PROGRAMS / "absent.c")
    return folder


@pytest.fixture
def node(tmp_path: Path, native: Path) -> Iterator[Node]:
    """A node with nothing armed."""
    made = Node(tmp_path, native)
    yield made
    made.close()


@pytest.fixture
def probe(node: Node, programs: Path) -> Iterator[Callable[..., Program]]:
    """Start a probe that has initialised CUDA and uses GPU 0."""
    started: list[Program] = []

    def start(**more: str) -> Program:
        program = node.start(programs / "dlsym", **more)
        started.append(program)
        assert program.greeting == "ready"
        assert program.asks("init", "use 0") == ["0", "0"]
        return program

    yield start
    for program in started:
        program.__exit__(None, None, None)
