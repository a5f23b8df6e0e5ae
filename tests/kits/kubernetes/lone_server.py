"""A real API server with nothing behind it but etcd: no nodes, no controllers; enough for objects, watches and rights.

The programs are those of the test cluster (`make cluster` builds and keeps them). Everything is on loopback and below
one folder; both processes are ended by their pids.
"""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

WATCHDOG_S = 90.0
ADMISSION_GATE = "--feature-gates=MutatingAdmissionPolicy=true"
ADMISSION_API = "--runtime-config=admissionregistration.k8s.io/v1beta1=true"
"""With this alone, policies are served and taken, and do nothing."""
ADMISSION = (ADMISSION_GATE, ADMISSION_API)
GROUP_OF_ADMINS = "system:masters"
ADMIN = {"admin": GROUP_OF_ADMINS}


class Missing(Exception):
    """Raised when a program is not there."""


def program(name: str) -> str:
    """Its path: in PATH, or the newest of the test cluster's cache. Raises Missing."""
    found = shutil.which(name)
    if found:
        return found
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "offbus", "cluster")
    kept = sorted(cache.glob(f"*/{name}"), key=lambda path: path.stat().st_mtime)
    if not kept:
        raise Missing(f"there is no {name}: `make cluster` builds it")
    return str(kept[-1])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class LoneServer:
    """etcd and kube-apiserver. `users` maps names to groups; each gets a token."""

    folder: Path
    users: Mapping[str, str]
    flags: Sequence[str] = ADMISSION
    """More arguments of the API server."""
    port: int = field(default_factory=free_port)
    etcd_port: int = field(default_factory=free_port)
    tokens: dict[str, str] = field(default_factory=dict)
    _etcd: subprocess.Popen[bytes] | None = None
    _api: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start both; returns when the API server is ready. Raises Missing, TimeoutError."""
        program("kube-apiserver")
        self.tokens = {name: secrets.token_urlsafe(24) for name in self.users}
        rows = [f'{self.tokens[name]},{name},{name},"{group}"' for name, group in self.users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        (self.folder / "certs").mkdir()
        key = ["openssl", "genrsa", "-out", str(self.folder / "sa.key"), "2048"]
        subprocess.run(key, check=True, capture_output=True)
        self._start_etcd()
        self.start_api()

    def start_api(self) -> None:
        """Start the API server; returns when it is ready."""
        self.launch_api()
        self.wait_ready()

    def launch_api(self) -> None:
        """Start the API server, and do not wait for it."""
        command = [
            program("kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder / 'certs'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-account-key-file={self.folder / 'sa.key'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-account-issuer=https://offbus.test",
            "--service-cluster-ip-range=10.99.0.0/24",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
            "--endpoint-reconciler-type=none",
            *self.flags,
        ]
        self._api = self._run(command, "apiserver")

    def kill_api(self) -> None:
        """SIGKILL, as a crash."""
        self._end(self._api)
        self._api = None

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """The API server stands still: its connections stay, and nothing answers on them."""
        assert self._api is not None
        self._api.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._api.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End both."""
        self._end(self._api)
        self._end(self._etcd)

    def kubeconfig(self, user: str, folder: Path | None = None) -> Path:
        """A kubeconfig for a user's token."""
        return self.write_kubeconfig(
            (folder or self.folder) / f"{user}.kubeconfig", {"token": self.tokens[user]}
        )

    def write_kubeconfig(self, path: Path, login: Mapping[str, object]) -> Path:
        """A kubeconfig with any way to log in."""
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "certs" / "apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lone", "cluster": cluster}],
            "users": [{"name": "me", "user": dict(login)}],
            "contexts": [{"name": "lone", "context": {"cluster": "lone", "user": "me"}}],
            "current-context": "lone",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def wait_ready(self) -> None:
        """Poll /readyz, which is all that can be waited on. Raises TimeoutError with the log's end."""
        self._wait(f"{self.url}/readyz", self._api, "apiserver")

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        command = [
            program("etcd"),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]
        self._etcd = self._run(command, "etcd")
        self._wait(f"{client}/health", self._etcd, "etcd")

    def _run(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)

    def _wait(self, url: str, process: subprocess.Popen[bytes] | None, name: str) -> None:
        deadline = time.monotonic() + WATCHDOG_S
        while time.monotonic() < deadline:
            if process is not None and process.poll() is not None:
                break
            if _answers(url):
                return
            time.sleep(0.1)  # before it listens there is nothing to wait on but the next try
        tail = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
        raise TimeoutError(f"{name} is not ready: {tail}")

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            process.kill()
            process.wait(timeout=WATCHDOG_S)


@contextmanager
def lone_server(
    folder: Path, users: Mapping[str, str] = ADMIN, flags: Sequence[str] = ADMISSION
) -> Iterator[LoneServer]:
    """A server that runs while the block does. Raises Missing, TimeoutError."""
    folder.mkdir(exist_ok=True)
    server = LoneServer(folder, users, flags)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _answers(url: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
