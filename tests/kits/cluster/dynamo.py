"""Real NVIDIA Dynamo in a virtual environment of its own, kept in the cache by its requirements.

Its pins clash with offbus' own (pydantic), and its frontend and mock engine need neither GPU, etcd nor NATS. Two
gigabytes, most of them for a simulator that it requires; fetched by pip the first time.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import cache

__all__ = ["dynamo_environment"]

REQUIREMENTS = ("ai-dynamo==1.6.0", "aisimulate==0.13.0.dev202610270000000085")
"""1.6 keeps requests whose worker dies, where 1.4 loses some; its simulator is out as a nightly build alone."""
INSTALL_LIMIT_S = 25 * 60


def dynamo_environment() -> Path:
    """The environment's folder; made when the cache lacks it. Raises ClusterError with pip's complaint."""
    key = hashlib.sha256(f"{REQUIREMENTS} {sys.version}".encode()).hexdigest()[:20]
    folder = cache() / f"dynamo-{key}"
    whole = folder / "offbus-whole"
    if not whole.exists():
        print("cluster: installing Dynamo (minutes, once)", flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        pip = (str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--upgrade", "pip")
        run(*pip, "--only-binary", ":all:", *REQUIREMENTS)
        whole.touch()
    return folder


def run(*command: str) -> None:
    """Run a command, politely. Raises ClusterError."""
    done = subprocess.run(
        ["nice", "-n", "15", *command], capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
    )
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
