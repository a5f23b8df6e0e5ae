"""offbus as an image on every node: what a user would build and push, made from the sources as they are now.

One image under three names: the one that deploy/'s manifests are given, the one that they are written with, and that
of the shipped targets (scenarios/targets), so that these run as they are. A cluster that has this very image already
is left alone; a changed source is a new tag, so that what runs the image is rolled out anew.
"""

import hashlib
import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.images import Image, write_archive
from tests.kits.cluster.node import enter
from tests.kits.cluster.paths import REPOSITORY, ClusterPaths
from tests.kits.cluster.plan import NODES
from tests.kits.cluster.python_root import PYTHON_ENV, SITE, compile_below, python_layer, write_layer

__all__ = ["WORKLOAD_IMAGE", "load_offbus"]

WORKLOAD_IMAGE = "offbus-workload:local"
"""The name in scenarios/targets. A name without a registry is Docker's own library to containerd."""
ALSO = ("docker.io/library/offbus:latest", f"docker.io/library/{WORKLOAD_IMAGE}")
PACKAGES = ("engine/offbus", "steps/offbus_steps", "agent/offbus_agent", "sandbox/offbus_sandbox")
SCRIPTS = {"offbus": "offbus.cli.main", "offbus-agent": "offbus_agent.__main__"}
SCRIPT = "#!/usr/local/bin/python3\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
IMPORT_LIMIT_S = 180


def load_offbus(paths: ClusterPaths) -> str:
    """See to it that every node has the image of these sources; its name. Raises ClusterError."""
    below = python_layer()
    name = f"offbus.test/offbus:{key(below)}"
    loaded = paths.images / "offbus.loaded"
    if not loaded.exists() or loaded.read_text() != name:
        with TemporaryDirectory(dir=paths.images, prefix="offbus-") as made:
            layer = Path(made) / "layer.tar"
            write_sources(Path(made) / "root", layer)
            image = Image(name, env=PYTHON_ENV, layers=(below, layer), also=ALSO)
            write_archive(image, paths.images / "offbus.tar", platform.machine())
        import_everywhere(paths, paths.images / "offbus.tar")
        loaded.write_text(name)
    return name


def key(below: Path) -> str:
    """Hex digits that name what the image is made of."""
    found = hashlib.sha256(f"{below.name} {SCRIPT} {SCRIPTS}".encode())
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path.relative_to(REPOSITORY)).encode() + path.read_bytes())
    return found.hexdigest()[:12]


def write_sources(root: Path, layer: Path) -> None:
    """offbus as `pip install` would lay it down."""
    site, programs = root / SITE, root / "usr/local/bin"
    programs.mkdir(parents=True)
    for package in PACKAGES:
        source = REPOSITORY / package
        shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in importlib.metadata.files("offbus") or ():
        if file.parts[0].endswith(".dist-info") and "__pycache__" not in file.parts:
            (site / file).parent.mkdir(exist_ok=True)
            shutil.copy2(Path(str(file.locate())), site / file)
    compile_below(root)
    for name, module in SCRIPTS.items():
        (programs / name).write_text(SCRIPT.format(module=module))
        (programs / name).chmod(0o755)
    write_layer(root, layer)


def import_everywhere(paths: ClusterPaths, archive: Path) -> None:
    """Into the containerd of every node, all at once. Raises ClusterError with ctr's complaint."""
    command = ["ctr", "-n", "k8s.io", "images", "import", str(archive)]
    started = [(node.name, begun(enter(paths, node, command))) for node in NODES]
    failed = [f"{name}: {said}" for name, process in started if (said := complaint(process))]
    if failed:
        raise ClusterError(f"{archive} could not be imported: {'; '.join(failed)}")


def begun(command: Sequence[str]) -> "subprocess.Popen[str]":
    """A command that runs, to be listened to."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def complaint(process: "subprocess.Popen[str]") -> str:
    """What a command said when it failed; empty when it did not."""
    try:
        _, said = process.communicate(timeout=IMPORT_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return f"not within {IMPORT_LIMIT_S} s"
    return said.strip() or str(process.returncode) if process.returncode else ""
