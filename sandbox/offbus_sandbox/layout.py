"""The files of a sandbox: one folder, the same names for supervisor, adapter, command line and tests.

    DIR/                  mode 0700
      api.sock            the port, for runners and users (a client here keeps the sandbox running)
      internal.sock       the same, for the sandbox's own programs (they do not keep it running)
      sandbox.json        its configuration        store.sqlite   its objects
      lock                held by the supervisor   in-use         held by the run that acts on the sandbox
      token               of the node agents, mode 0600
      gateway-token       of the gateway's callers, mode 0600; gateway-address: where it listens
      log/                the programs' own logs   processes/     one record for every process it started
      endpoints/          ready addresses, by graph
      nodes/NAME/         a node (docs/architecture.md)

A Unix socket's path may be 107 bytes long (unix(7)), and run folders are longer than that. When the real path is long,
sockets and node folders are therefore reached through a short alias, a symbolic link in a private folder; every program
of a sandbox uses the alias, so that paths agree. `make` creates it; a Layout object alone changes nothing.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from offbus.errors import CouldNotRun

__all__ = ["Layout"]

LONGEST = 60
"""Bytes: a longer path needs an alias; the longest socket below it adds 40."""
SHORT = ("/tmp", "/dev/shm", "/var/tmp")  # noqa: S108  a folder of our own below, of mode 0700, or a refusal
"""Folders for the alias when TMPDIR itself is too long."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one sandbox."""

    root: Path
    """The path that its programs use; below it is what they share."""
    real: Path
    """Where the folder is; below it are the supervisor's own files."""
    id: str
    """Marks the processes of this sandbox (environment variable `OFFBUS_SANDBOX`)."""
    api: Path
    """The port's socket for clients."""
    internal: Path
    """The port's socket for the sandbox's own programs."""
    config: Path
    """The configuration that the supervisor was started with."""
    store: Path
    """The database of objects."""
    lock: Path
    """Locked while a supervisor runs."""
    in_use: Path
    """Locked by the run (or the recovery) that acts on a persistent sandbox, wherever its runs are stored."""
    token: Path
    """The token of the node agents."""
    gateway_token: Path
    """What the gateway's callers show."""
    gateway_address: Path
    """Where the gateway listens, once it does."""
    logs: Path
    """Logs of the sandbox's own programs."""
    processes: Path
    """Records of the processes that the supervisor started."""

    @classmethod
    def of(cls, folder: Path) -> "Layout":
        """The layout of `folder`, which need not exist yet. Raises CouldNotRun when the alias is not safe."""
        real = folder.resolve()
        root = real if len(os.fsencode(real)) <= LONGEST else alias_of(real)
        return cls(
            root=root,
            real=real,
            id=hashlib.sha256(os.fsencode(real)).hexdigest()[:16],
            api=root / "api.sock",
            internal=root / "internal.sock",
            config=real / "sandbox.json",
            store=real / "store.sqlite",
            lock=real / "lock",
            in_use=real / "in-use",
            token=real / "token",
            gateway_token=real / "gateway-token",
            gateway_address=real / "gateway-address",
            logs=real / "log",
            processes=real / "processes",
        )

    def endpoints(self, namespace: str, graph: str) -> Path:
        """The ready addresses of one graph's pods."""
        return self.root / "endpoints" / f"{namespace}.{graph}.json"

    def node(self, name: str) -> Path:
        """The folder that is one node's root."""
        return self.root / "nodes" / name

    def agent(self, node: str) -> Path:
        """The socket of a node's agent."""
        return self.node(node) / "agent.sock"

    def make(self) -> None:
        """Create the folders, for their owner only, and the alias, when there is one. Raises CouldNotRun."""
        self.real.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.root != self.real:
            self.root.parent.mkdir(mode=0o700, exist_ok=True)
            refuse_other_owner(self.root.parent)
            try:
                self.root.symlink_to(self.real)
            except FileExistsError:
                if not self.root.is_symlink() or self.root.readlink() != self.real:
                    raise CouldNotRun(
                        f"{self.root} does not point to {self.real}", hint=f"remove {self.root}"
                    ) from None
        for folder in (self.logs, self.processes, self.root / "endpoints", self.root / "nodes"):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.real.chmod(0o700)

    def forget_alias(self) -> None:
        """Remove the alias, when there is one."""
        if self.root != self.real:
            self.root.unlink(missing_ok=True)


def alias_of(real: Path) -> Path:
    """The short alias of a folder: in the folder for temporary files, or when that is too long, in the system's own.

    Raises CouldNotRun when none is short enough, or when the alias is not safe.
    """
    name = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    for folder in (tempfile.gettempdir(), *SHORT):
        home = Path(folder, f"offbus-{os.getuid()}")
        if len(os.fsencode(home / name)) <= LONGEST and home.parent.is_dir():
            if home.is_symlink() or home.exists():
                refuse_other_owner(home)
            return home / name
    raise CouldNotRun(
        f"the path {real} is too long for the sockets in it, and so is {tempfile.gettempdir()}",
        hint="set TMPDIR to a folder with a short path",
    )


def refuse_other_owner(home: Path) -> None:
    """Raise CouldNotRun for somebody else's folder: it could redirect our programs anywhere."""
    seen = home.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise CouldNotRun(f"{home} is not your own folder of mode 0700", hint="remove it, or set TMPDIR")
