"""Reads Kubernetes manifests from disk: hostile until checked.

At most 1 MiB, safe YAML, no aliases (they can grow without bound), only the kinds that `deploy` may create. One clear
error names the file, the document and the mend. It sends nothing anywhere.
"""

from pathlib import Path
from typing import Any

from offbus.errors import StepError
from offbus_steps.port import KINDS, Object
from offbus_steps.workloads import WORKLOAD_KINDS

__all__ = ["ALLOWED_KINDS", "read_manifest"]

ALLOWED_KINDS = (
    "ConfigMap",
    "Namespace",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
    *WORKLOAD_KINDS,
)
LARGEST = 1 << 20


def read_manifest(path: Path) -> list[Object]:
    """The objects of a file, in order, namespaces set and kinds checked. Raises StepError."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as err:
        raise StepError(f"the manifest {path} cannot be read: {err.strerror}") from err
    if len(text) > LARGEST:
        raise StepError(f"the manifest {path} is larger than {LARGEST} bytes")
    documents = [one for one in _parse(path, text) if one is not None]
    return [_checked(path, number, one) for number, one in enumerate(documents, 1)]


def _parse(path: Path, text: bytes) -> list[Any]:
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise StepError(f"the manifest {path} uses YAML aliases", hint="write the values out")
        return list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError) as err:
        raise StepError(f"the manifest {path} is not YAML: {err}") from err


def _checked(path: Path, number: int, obj: Any) -> Object:
    where = f"{path}, document {number}"
    if (
        not isinstance(obj, dict)
        or not isinstance(obj.get("metadata"), dict)
        or not obj["metadata"].get("name")
    ):
        raise StepError(f"{where} is not a Kubernetes object with a metadata.name")
    resource = KINDS.get(str(obj.get("kind")))
    if resource is None or resource.kind not in ALLOWED_KINDS:
        raise StepError(f"{where}: kind {obj.get('kind')!r} cannot be deployed", hint=f"possible: {_names()}")
    if obj.get("apiVersion") not in resource.versions:
        raise StepError(f"{where}: {resource.kind} needs apiVersion {' or '.join(resource.versions)}")
    if resource.namespaced:
        obj["metadata"].setdefault("namespace", "default")
    return obj


def _names() -> str:
    return ", ".join(ALLOWED_KINDS)
