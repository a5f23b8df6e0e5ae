"""A root file system with this machine's Python and what offbus needs of packages, as one layer of an image.

What `FROM python:slim` and `pip install` give where a registry can be reached: interpreter, standard library, the
shared libraries that they load, and offbus' own requirements as they are installed here. Byte code is compiled with
unchecked hashes, so that a read-only container does not compile at each start. The layer is kept in the cache by
what it is made of; offbus itself is a second layer (`kit.own_images`), made anew each time.
"""

import compileall
import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import cache

__all__ = ["PYTHON_ENV", "SITE", "compile_below", "python_layer", "write_layer"]

SITE = "opt/offbus"
"""Where packages are in the image."""
PYTHON_ENV = (f"PYTHONPATH=/{SITE}", "PATH=/usr/local/bin:/usr/bin:/bin")
LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "site-packages",
    "__pycache__",
)
"""Of the standard library; `config-*` (a static libpython) too."""
TOOL_LIMIT_S = 120
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65532:65532:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnobody:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
FOLDERS = ("proc", "sys", "dev", "tmp", "run", "root", "var", "usr/local/bin", "usr/lib", SITE)
LINKS = {"lib": "usr/lib", "lib64": "usr/lib"}
LIBRARY_LINE = re.compile(r"(?:=> )?(/\S+) \(0x")
"""A line of ldd."""


def python_layer() -> Path:
    """The layer's tar; made when the cache lacks it. Raises ClusterError."""
    wanted = requirements()
    parts = [sys.version, sys.base_prefix, Path(__file__).read_text()]
    parts += sorted(f"{one.name} {one.version}" for one in wanted)
    path = cache() / f"python-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]}.tar"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix="python-") as made:
            root = Path(made) / "root"
            make_root(root, wanted)
            write_layer(root, Path(made) / "layer.tar")
            (Path(made) / "layer.tar").replace(path)
    return path


def requirements() -> list[importlib.metadata.Distribution]:
    """The requirements of `offbus[agent]`, which images install, as they are installed here, and theirs."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked = [(one, "agent") for one in importlib.metadata.requires("offbus") or ()]
    while asked:
        text, extra = asked.pop()
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if name in found or not wanted:
            continue
        found[name] = importlib.metadata.distribution(requirement.name)
        asked += [(one, "") for one in found[name].requires or ()]
    return list(found.values())


def make_root(root: Path, wanted: Iterable[importlib.metadata.Distribution]) -> None:
    """Fill a folder."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    for name, text in ETC.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(Path(sys.executable).resolve(), root / "usr/local/bin" / version)
    (root / "usr/local/bin/python3").symlink_to(version)
    ignored = shutil.ignore_patterns(*LEFT_OUT, "config-*", "_test*", "_tkinter*")
    shutil.copytree(sysconfig.get_path("stdlib"), root / "usr/local/lib" / version, ignore=ignored)
    for distribution in wanted:
        copy_distribution(distribution, root / SITE)
    copy_libraries(root)
    compile_below(root)


def copy_distribution(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Its files, those beside its packages (scripts) left away."""
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        if file.parts[0] == ".." or "__pycache__" in file.parts or not source.is_file():
            continue
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, site / file)


def copy_libraries(root: Path) -> None:
    """The shared libraries of every program in the root, where the loader looks for them."""
    programs = [root / "usr/local/bin/python3", *root.rglob("*.so"), *root.rglob("*.so.*")]
    for library in sorted(set(libraries_of(programs))):
        if not library.is_relative_to(root):
            shutil.copy2(library.resolve(), root / "usr/lib" / library.name)


def libraries_of(programs: Iterable[Path]) -> Iterator[Path]:
    """What ldd finds for them. Raises ClusterError for one that is missing."""
    done = subprocess.run(
        ["ldd", *map(str, programs)], capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False
    )
    if "not found" in done.stdout:
        raise ClusterError(f"a library of this Python is missing:\n{done.stdout}")
    yield from (Path(found[1]) for line in done.stdout.splitlines() if (found := LIBRARY_LINE.search(line)))


def compile_below(root: Path) -> None:
    """Byte code beside every module; what does not compile (templates) is left."""
    # in the names of the image, so that tracebacks read right; quiet: some packages bring files for other Pythons
    compileall.compile_dir(
        root,
        stripdir=str(root),
        prependdir="/",
        quiet=2,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


def write_layer(root: Path, path: Path) -> None:
    """The folder as a tar: no times, no owners, so that the same content is the same layer. Everybody may read it."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
        return entry

    with tarfile.open(path, "w") as layer:
        for child in sorted(root.iterdir()):
            layer.add(child, child.name, filter=plain)
