"""Reads Kubernetes manifests from disk, which are not trusted until checked.

At most 1 MiB, YAML as kubectl reads it (offbus_steps.workloads.manifest_yaml), values that JSON has, and only the kinds
that `deploy` may create. An error names the file, the position, the document (and the item of a `kind: List`), and the
fix. It sends nothing anywhere.
"""

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from offbus.errors import StepError, UsageError
from offbus.files import read_bounded
from offbus.named_files import NamedFiles
from offbus_steps.kinds import KINDS
from offbus_steps.object_names import NAME, NAMESPACE
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.manifest_yaml import entries
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["ALLOWED_KINDS", "manifest_of", "read_manifest", "target_in"]

ALLOWED_KINDS = (
    "ConfigMap",
    "Namespace",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
    *WORKLOAD_KINDS,
)
LARGEST = 1 << 20


def manifest_of(scenario_dir: str | Path, name: str) -> list[Object]:
    """The checked objects of the manifest that a scenario in this folder names. Raises StepError."""
    folder = Path(scenario_dir)
    try:
        NamedFiles(folder).real(folder / name)
    except UsageError as err:
        raise StepError(f"the manifest {err.message}", hint=err.hint) from err
    return read_manifest(folder / name)


def read_manifest(path: Path) -> list[Object]:
    """The checked objects of a file, in order, with their namespaces. Raises StepError."""
    try:
        text = read_bounded(path, LARGEST)
    except OSError as err:
        raise StepError(f"the manifest {path} cannot be read: {err.strerror}") from err
    if len(text) > LARGEST:
        raise StepError(f"the manifest {path} is larger than {LARGEST} bytes")
    return [_checked(one.where, one.value) for one in entries(path, text)]


def target_in(objects: Sequence[Object], wanted: str | None) -> Ref:
    """The one workload of a manifest that is its target, or the one of that name. Raises StepError."""
    refs = [Ref.of(one) for one in objects if one["kind"] in WORKLOAD_KINDS]
    chosen = [ref for ref in refs if wanted in (None, ref.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(map(str, refs)) or "none"
    raise StepError(f"the manifest must have one target, it has {names}", hint="name one with `workload`")


def _checked(where: str, obj: Any) -> Object:
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise StepError(f"{where} is not a Kubernetes object with a metadata.name")
    _refuse_unjson(where, "", obj)
    meta = obj["metadata"]
    _text(where, meta, "name", NAME)
    resource = KINDS.get(str(obj.get("kind")))
    if resource is None or resource.kind not in ALLOWED_KINDS:
        raise StepError(
            f"{where}: kind {_shown(obj.get('kind'))} cannot be deployed",
            hint=f"possible kinds: {', '.join(ALLOWED_KINDS)}",
        )
    if obj.get("apiVersion") not in resource.versions:
        raise StepError(f"{where}: {resource.kind} needs apiVersion {' or '.join(resource.versions)}")
    if resource.namespaced:
        if meta.get("namespace") is None:
            meta["namespace"] = "default"
        _text(where, meta, "namespace", NAMESPACE)
    else:
        meta.pop("namespace", None)
    for key in ("labels", "annotations"):
        items = meta.get(key)
        if items is not None and not (
            isinstance(items, dict) and all(isinstance(one, str) for one in items.values())
        ):
            raise StepError(
                f"{where}: metadata.{key} must be a mapping of strings", hint="quote numbers and booleans"
            )
    if not isinstance(obj.get("spec", {}), dict):
        raise StepError(f"{where}: spec must be a mapping")
    return obj


def _refuse_unjson(where: str, path: str, value: Any) -> None:
    """Raises StepError for what JSON does not have: dates, bytes, keys that are not strings."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise StepError(
                    f"{where}: {path[:200] or 'the object'} has the key {_shown(key)}, which is not a string",
                    hint="quote it",
                )
            _refuse_unjson(where, f"{path}.{key}" if path else key, item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _refuse_unjson(where, f"{path}[{number}]", item)
    elif isinstance(value, float) and not isfinite(value):
        raise StepError(f"{where}: {path[:200]} is {value}, which is not a number in JSON")
    elif value is not None and not isinstance(value, str | int | float):
        raise StepError(f"{where}: YAML reads {path[:200]} as a {type(value).__name__}", hint="quote it")


def _text(where: str, meta: dict[str, Any], key: str, form: re.Pattern[str]) -> None:
    value = meta.get(key)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        said = "is missing" if value is None else f"cannot be {_shown(value)}"
        raise StepError(f"{where}: metadata.{key} {said}", hint="lower-case letters, digits and '-'")


def _shown(value: Any) -> str:
    """The value in short: a file of somebody else's may hold a name of a million characters."""
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
