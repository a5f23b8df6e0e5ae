"""OCI image archives from a folder's worth of files, with the standard library: no registry can be reached from here.

Format: OCI image layout 1.0 in a tar (oci-layout, index.json, blobs/sha256/...), which `ctr images import` reads. The
name travels in the annotation `io.containerd.image.name`. Same content, same bytes: no times, no owners.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tests.kits.cluster.errors import ClusterError

__all__ = ["Image", "write_archive"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """What is in an image: `files` path -> (content, mode), `links` path -> target, `folders` empty ones.

    `layers` are tars that lie below them. `also` are further names of the same image.
    """

    name: str
    files: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    env: Sequence[str] = ("PATH=/usr/local/bin:/usr/bin:/bin",)
    layers: Sequence[Path] = ()
    also: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Blob:
    """A piece of an archive: bytes, or a file that is too large for memory."""

    content: bytes | Path

    @property
    def digest(self) -> str:
        """As OCI writes it."""
        if isinstance(self.content, bytes):
            return f"sha256:{hashlib.sha256(self.content).hexdigest()}"
        with self.content.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def described(self, media_type: str) -> dict[str, Any]:
        """An OCI descriptor."""
        return {"mediaType": media_type, "digest": self.digest, "size": self.size}

    def add_to(self, archive: tarfile.TarFile) -> None:
        """Under its digest."""
        entry = tarfile.TarInfo(f"blobs/sha256/{self.digest.partition(':')[2]}")
        entry.size, entry.mode = self.size, 0o644
        with self.opened() as file:
            archive.addfile(entry, file)

    def opened(self) -> BinaryIO:
        """For reading."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


def write_archive(image: Image, path: Path, machine: str) -> None:
    """Write the archive. `machine` as `platform.machine()` says it. Raises ClusterError for one unknown to OCI."""
    if machine not in ARCHITECTURES:
        raise ClusterError(f"no image can be made for {machine}; known: {', '.join(ARCHITECTURES)}")
    layers = [*map(Blob, image.layers), Blob(layer_of(image))]
    config = encoded(
        {
            "architecture": ARCHITECTURES[machine],
            "os": "linux",
            "config": {"Entrypoint": list(image.entrypoint), "Env": list(image.env), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
        }
    )
    manifest = Blob(
        encoded(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": Blob(config).described(CONFIG),
                "layers": [one.described(LAYER) for one in layers],
            }
        )
    )
    index = [manifest.described(MANIFEST) | {"annotations": named(one)} for one in (image.name, *image.also)]
    with tarfile.open(path, "w") as archive:
        add(archive, "oci-layout", encoded({"imageLayoutVersion": "1.0.0"}))
        add(archive, "index.json", encoded({"schemaVersion": 2, "manifests": index}))
        for blob in (Blob(config), *layers, manifest):
            blob.add_to(archive)


def named(name: str) -> dict[str, str]:
    """How an index tells an image's name."""
    return {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}


def layer_of(image: Image) -> bytes:
    """The root file system, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for folder in sorted(image.folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            layer.addfile(entry)
        for name, target in sorted(image.links.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            layer.addfile(entry)
        for name, (content, mode) in sorted(image.files.items()):
            add(layer, name, content, mode)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add one file."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def encoded(value: object) -> bytes:
    """JSON, always alike."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
