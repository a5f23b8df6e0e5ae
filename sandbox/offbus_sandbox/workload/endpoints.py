"""The ready workers of the frontend's graph, from the file that the local kubelet rewrites
(docs/architecture.md).

Read again, at the next request, whenever the file's inode or mtime changes. A missing file is no worker; one
that cannot be parsed leaves the last good answer and is logged. Must not: probe workers.
"""

import json
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

__all__ = ["Endpoints", "Worker"]

_log = logging.getLogger(__name__)


class Worker(BaseModel):
    """One ready pod."""

    pod: str
    ip: str
    port: int | None
    node: str = ""

    @property
    def url(self) -> str:
        """Its HTTP root."""
        return f"http://{self.ip}:{self.port}"


class _File(BaseModel):
    services: dict[str, list[Worker]]
    frontends: list[str] = []


class Endpoints:
    """The file, and whose turn it is. `workers` names the components to route to; none given: all but frontends."""

    def __init__(self, path: Path, *, workers: Collection[str], own: str) -> None:
        self._path = path
        self._wanted = frozenset(workers)
        self._own = own
        self._stamp: tuple[int, int] | None = None
        self._ready: Sequence[Worker] = ()
        self._turn = 0

    def ready(self) -> Sequence[Worker]:
        """The ready workers now, by pod name."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._ready = None, ()
            return ()
        stamp = (stat.st_ino, stat.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp = stamp
            self._ready = self._load()
        return self._ready

    def next(self, *, without: Collection[str]) -> Worker | None:
        """Round-robin over the ready workers whose pods are not in `without`; None when there is none."""
        ready = self.ready()
        for offset in range(len(ready)):
            worker = ready[(self._turn + offset) % len(ready)]
            if worker.pod not in without:
                self._turn = (self._turn + offset + 1) % len(ready)
                return worker
        return None

    def _load(self) -> Sequence[Worker]:
        try:
            content = _File.model_validate(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, ValidationError) as err:
            _log.error("%s cannot be used, keeping %d workers: %s", self._path, len(self._ready), err)
            return self._ready
        found = [w for name, pods in content.services.items() if self._routes_to(name, content) for w in pods]
        return sorted((w for w in found if w.port is not None), key=lambda worker: worker.pod)

    def _routes_to(self, component: str, content: _File) -> bool:
        if self._wanted:
            return component in self._wanted
        return component != self._own and component not in content.frontends
