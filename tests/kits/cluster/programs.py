"""The cluster's own programs: built from pinned Go modules, kept by content in the cache.

The key is made of everything that decides what comes out: go.mod, go.sum, our own sources, flags and Go's version. A
build goes to a temporary name first, so a program in the cache is always whole.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import cache

__all__ = ["KUBERNETES", "KWOK", "LWS", "STANDIN", "Build", "build", "files_of"]

GO = Path(__file__).with_name("go")
KUBERNETES_VERSION = "v1.34.4"
"""1.35's kubelet refuses cgroup v1, which test machines still have."""
OLDEST_GO = (1, 25)
BUILD_LIMIT_S = 30 * 60
FETCH_LIMIT_S = 5 * 60
JOBS = os.environ.get("OFFBUS_CLUSTER_BUILD_JOBS", str(os.cpu_count() or 1))


@dataclass(frozen=True, slots=True)
class Build:
    """Programs of one Go module. `packages` are import paths; a program is called as its path's last element."""

    module: Path
    packages: tuple[str, ...]
    flags: tuple[str, ...]
    sources: tuple[str, ...] = ()
    static: bool = False

    @property
    def programs(self) -> list[str]:
        """Their file names."""
        return [package.rpartition("/")[2] for package in self.packages]

    def environment(self) -> dict[str, str]:
        """For `go`: no cgo where the program runs in an empty image."""
        return {**os.environ, **({"CGO_ENABLED": "0"} if self.static else {})}

    def key(self, go: str) -> str:
        """Hex digits that name what this build gives."""
        files = [self.module / "go.mod", self.module / "go.sum"]
        files += sorted(path for pattern in self.sources for path in self.module.glob(pattern))
        parts = [go, str(self.static), *self.flags, *self.packages, *(path.read_text() for path in files)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


KUBERNETES = Build(
    GO,
    tuple(
        f"k8s.io/kubernetes/cmd/{name}"
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    ),
    ("-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"),
)
STANDIN = Build(
    GO, ("./standin-device-plugin",), ("-ldflags", "-s -w"), ("standin-device-plugin/*.go",), static=True
)
KWOK = Build(GO / "kwok", ("sigs.k8s.io/kwok/cmd/kwok",), ("-ldflags", "-s -w"), static=True)
LWS = Build(GO / "lws", ("sigs.k8s.io/lws/cmd",), ("-ldflags", "-s -w"))
"""LeaderWorkerSet's controllers; the program is called `cmd`."""


def build(what: Build) -> Path:
    """The folder that holds its programs; builds them when the cache lacks them. Raises ClusterError."""
    folder = cache() / what.key(go_version())
    if all((folder / name).exists() for name in what.programs):
        return folder
    print(f"cluster: building {' '.join(what.programs)} (minutes, once)", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix="building-") as made:
        compile_into(what, Path(made))
        folder.mkdir(exist_ok=True)
        for name in what.programs:
            (Path(made) / name).replace(folder / name)
    return folder


def compile_into(what: Build, folder: Path) -> None:
    """Run `go build`, politely: others use the machine too."""
    command = ["nice", "-n", "15", "go", "build", "-p", JOBS, "-mod=readonly", "-trimpath", *what.flags]
    command += ["-o", f"{folder}/", *what.packages]
    done = subprocess.run(
        command,
        cwd=what.module,
        env=what.environment(),
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} in {what.module} failed:\n{done.stderr[-3000:]}")


def files_of(what: Build, module: str) -> Path:
    """Where Go keeps the files of a module that a build needs; fetched when only its programs were kept.

    Raises ClusterError.
    """
    command = ["go", "mod", "download", "-json", module]
    done = subprocess.run(
        command, cwd=what.module, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout)[-3000:]
        raise ClusterError(f"{' '.join(command)} in {what.module} failed:\n{said}")
    return Path(json.loads(done.stdout)["Dir"])


def go_version() -> str:
    """Such as `go1.26.1`. Raises ClusterError when it is absent or too old."""
    wanted = ".".join(map(str, OLDEST_GO))
    if not shutil.which("go"):
        raise ClusterError(f"there is no `go`; install Go {wanted} or newer")
    text = subprocess.run(
        ["go", "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    numbers = re.match(r"go(\d+)\.(\d+)", text)
    if not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST_GO:
        raise ClusterError(f"`go` is {text.strip()}; the test cluster needs {wanted} or newer")
    return text.strip()
