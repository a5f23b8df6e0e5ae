"""The node's `gpu_metadata.json`, as NVSentinel's metadata collector writes it: which GPU has which PCI address.

Read once, when the monitor starts; of a later file only the driver's version is taken, and only while none is known
(seen with the real monitor, main of 2026-08-21). So a GPU that was added since has no UUID here, and its
COMPONENT_RESET becomes RESTART_VM. A missing or broken file counts as empty metadata, logged once. Shape and
normalisation: NVSentinel health-monitors/syslog-health-monitor/pkg/metadata/reader.go. Must not: guess a GPU that is
not listed.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from offbus_agent.metadata import METADATA
from offbus_steps.nvsentinel.cause import normalise_pci

__all__ = ["Gpu", "Metadata", "MetadataFile"]

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
    """The file below a node's root, as it was at the start."""

    def __init__(self, root: Path) -> None:
        self._path = root / METADATA
        self._read = self._load(logging.WARNING)

    def current(self) -> Metadata:
        """What the monitor knows now."""
        if not self._read.driver_version:
            version = self._load(logging.DEBUG).driver_version
            self._read = self._read.model_copy(update={"driver_version": version})
        return self._read

    def _load(self, level: int) -> Metadata:
        try:
            return Metadata.model_validate(json.loads(self._path.read_bytes()))
        except (OSError, ValueError, RecursionError, ValidationError) as err:
            _log.log(level, "GPUs have no UUID here, and resets become reboots: %s: %s", self._path, err)
            return Metadata()
