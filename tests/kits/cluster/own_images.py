"""The three images of the cluster, and what a pod mounts to run Python in one of them.

`pause` holds a pod's namespaces; `python` is a root without programs, into which the interpreter, the virtual
environment and the sources are mounted from the machine, at their own paths; the device plugin is one static program.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.images import Image, write_archive
from tests.kits.cluster.paths import REPOSITORY, ClusterPaths

__all__ = ["DEVICE_PLUGIN_IMAGE", "PAUSE_IMAGE", "PYTHON_IMAGE", "make_images", "python_mounts"]

PAUSE_IMAGE = "offbus.test/pause:1"
PYTHON_IMAGE = "offbus.test/python:1"
DEVICE_PLUGIN_IMAGE = "offbus.test/standin-device-plugin:1"
PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
COMPILE_LIMIT_S = 60


def make_images(paths: ClusterPaths, device_plugin: Path) -> None:
    """Write the archives of all three. Raises ClusterError."""
    program = "usr/bin/standin-device-plugin"
    for image in (
        Image(PAUSE_IMAGE, {"pause": (compiled(paths), 0o755)}, entrypoint=["/pause"]),
        python_image(),
        Image(
            DEVICE_PLUGIN_IMAGE, {program: (device_plugin.read_bytes(), 0o755)}, entrypoint=[f"/{program}"]
        ),
    ):
        name = image.name.partition("/")[2].partition(":")[0]
        write_archive(image, paths.images / f"{name}.tar", platform.machine())


def compiled(paths: ClusterPaths) -> bytes:
    """The pause program, linked statically: its image holds nothing else."""
    source, program = paths.images / "pause.c", paths.images / "pause"
    source.write_text(PAUSE)
    command = ["gcc", "-static", "-O2", "-s", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    if done.returncode:
        raise ClusterError(f"gcc -static failed (Debian: apt install libc6-dev):\n{done.stderr[-1000:]}")
    return program.read_bytes()


def python_image() -> Image:
    """A root with Debian's merged /usr, which is empty here and mounted from the machine."""
    return Image(
        PYTHON_IMAGE,
        {name: (text.encode(), 0o644) for name, text in ETC.items()},
        {name: f"usr/{name}" for name in ("bin", "lib", "lib64", "sbin") if Path(f"/{name}").is_symlink()},
        ["usr", "proc", "sys", "dev", "tmp", "run", "root", "var", "etc"],
    )


def python_mounts(
    environment: Path | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """(volumes, mounts, interpreter) for a pod that runs this Python with everything that is installed in it, or in
    another virtual environment of it."""
    installed = str(environment or sysconfig.get_path("data"))
    folders = dict.fromkeys(["/usr", sys.base_prefix, installed, str(REPOSITORY)])
    kept = [f for f in folders if not any(f != o and f.startswith(f"{o}/") for o in folders)]
    volumes = [
        {"name": f"python-{i}", "hostPath": {"path": folder, "type": "Directory"}}
        for i, folder in enumerate(kept)
    ]
    mounts = [{"name": f"python-{i}", "mountPath": folder, "readOnly": True} for i, folder in enumerate(kept)]
    program = environment / "bin/python" if environment else sys.executable
    return volumes, mounts, os.path.abspath(program)  # noqa: PTH100  not resolved: the venv is found by it
