"""The ready workers of the frontend's graph, in round-robin order.

A source lists them at each request: the file that the sandbox rewrites (docs/architecture.md), or in a cluster the
graph's own pods (`discovery`). A file is read again whenever its inode or mtime changes; a missing one means no
workers; for one that cannot be parsed, the last good listing stays, and the error is logged. Must not: probe workers.
"""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ValidationError

__all__ = ["Endpoints", "EndpointsFile", "Listing", "Source", "Worker"]

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


class Listing(BaseModel):
    """The ready pods of a graph by component."""

    services: dict[str, list[Worker]] = {}
    frontends: list[str] = []


class Source(Protocol):
    """Lists the ready pods."""

    def listing(self) -> Listing:
        """The ready pods now."""


@dataclass(slots=True)
class EndpointsFile:
    """The file of a local sandbox."""

    path: Path
    _stamp: tuple[int, int] | None = None
    _read: Listing = field(default_factory=Listing)

    def listing(self) -> Listing:
        """The pods in the file."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._read = None, Listing()
            return self._read
        stamp = (stat.st_ino, stat.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._read = Listing.model_validate(json.loads(self.path.read_bytes()))
            except (OSError, ValueError, RecursionError, ValidationError) as err:
                _log.error("cannot use %s, the endpoints stay unchanged: %s", self.path, err)
        return self._read


class Endpoints:
    """The workers, in turn. `workers` names the components to route to; empty: all except frontends."""

    def __init__(self, source: Source, *, workers: Collection[str], own: str) -> None:
        self._source = source
        self._wanted = frozenset(workers)
        self._own = own
        self._turn = 0

    def ready(self) -> Sequence[Worker]:
        """The ready workers now, by pod name."""
        now = self._source.listing()
        routed = self._wanted or now.services.keys() - {self._own, *now.frontends}
        found = [worker for name in routed for worker in now.services.get(name, ())]
        return sorted((w for w in found if w.port is not None), key=lambda worker: worker.pod)

    def next(self, *, without: Collection[str]) -> Worker | None:
        """Round-robin over the ready workers whose pods are not in `without`; None when there is none."""
        ready = self.ready()
        for offset in range(len(ready)):
            worker = ready[(self._turn + offset) % len(ready)]
            if worker.pod not in without:
                self._turn = (self._turn + offset + 1) % len(ready)
                return worker
        return None
