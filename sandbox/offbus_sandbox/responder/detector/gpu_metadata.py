"""The node's `gpu_metadata.json`, as NVSentinel's metadata collector writes it: which GPU has which PCI address.

Read again whenever the file changes. A missing or broken file counts as empty metadata, logged once per change: then
COMPONENT_RESET becomes RESTART_VM, as in NVSentinel. Shape and normalisation: NVSentinel
health-monitors/syslog-health-monitor/pkg/metadata/reader.go. Must not: guess a GPU that is not listed.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from offbus_steps.nvsentinel.cause import normalise_pci

__all__ = ["Gpu", "Metadata", "MetadataFile"]

PATH = "var/lib/nvsentinel/gpu_metadata.json"
"""Below the node's root (NVSentinel chart value `global.metadataPath`)."""

_log = logging.getLogger(__name__)


class Gpu(BaseModel):
    """One GPU of the metadata; unknown keys are ignored."""

    uuid: str
    pci_address: str


class Metadata(BaseModel):
    """The file's content, as far as the detector needs it."""

    driver_version: str = ""
    chassis_serial: str | None = None
    gpus: tuple[Gpu, ...] = ()

    def at(self, pci: str) -> Gpu | None:
        """The GPU at a PCI address in any spelling."""
        wanted = normalise_pci(pci)
        return next((gpu for gpu in self.gpus if normalise_pci(gpu.pci_address) == wanted), None)

    @property
    def labels(self) -> Mapping[str, str]:
        """The `metadata` of every health event."""
        return {"chassis_serial": self.chassis_serial} if self.chassis_serial else {}


class MetadataFile:
    """The file below a node's root, read again when its inode, size or mtime changes."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH
        self._stamp: tuple[int, int, int] | None = None
        self._read = Metadata()
        self._missing_logged = False

    def current(self) -> Metadata:
        """The current metadata."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            if not self._missing_logged:
                _log.warning("%s does not exist: GPUs have no UUID, resets become reboots", self._path)
                self._missing_logged = True
            self._stamp, self._read = None, Metadata()
            return self._read
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp, self._read = stamp, self._load()
        return self._read

    def _load(self) -> Metadata:
        try:
            return Metadata.model_validate(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, ValidationError) as err:
            _log.error("%s cannot be used: %s", self._path, err)
            return Metadata()
