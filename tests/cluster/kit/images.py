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
from typing import Any

from kit.errors import ClusterError

__all__ = ["Image", "write_archive"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """What is in an image: `files` path -> (content, mode), `links` path -> target, `folders` empty ones."""

    name: str
    files: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    env: Sequence[str] = ("PATH=/usr/local/bin:/usr/bin:/bin",)


def write_archive(image: Image, path: Path, machine: str) -> None:
    """Write the archive. `machine` as `platform.machine()` says it. Raises ClusterError for one unknown to OCI."""
    if machine not in ARCHITECTURES:
        raise ClusterError(f"no image can be made for {machine}; known: {', '.join(ARCHITECTURES)}")
    layer = layer_of(image)
    config = encoded(
        {
            "architecture": ARCHITECTURES[machine],
            "os": "linux",
            "config": {"Entrypoint": list(image.entrypoint), "Env": list(image.env), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    )
    manifest = encoded(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described(CONFIG, config),
            "layers": [described(LAYER, layer)],
        }
    )
    annotations = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name}
    index = encoded(
        {"schemaVersion": 2, "manifests": [{**described(MANIFEST, manifest), "annotations": annotations}]}
    )
    with tarfile.open(path, "w") as archive:
        add(archive, "oci-layout", encoded({"imageLayoutVersion": "1.0.0"}))
        add(archive, "index.json", index)
        for blob in (config, layer, manifest):
            add(archive, f"blobs/sha256/{digest(blob).partition(':')[2]}", blob)


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


def described(media_type: str, blob: bytes) -> dict[str, Any]:
    """An OCI descriptor."""
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}


def digest(blob: bytes) -> str:
    """As OCI writes it."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def encoded(value: object) -> bytes:
    """JSON, always alike."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
