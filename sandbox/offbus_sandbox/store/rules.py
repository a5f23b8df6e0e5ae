"""The API server's checks and defaults for every write, apart from each kind's own rules.

Names become parts of file paths, so their check also keeps a hostile object inside the sandbox's folder.
"""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from offbus_sandbox.store.pod_shapes import LABEL
from offbus_sandbox.store.served import resource_of
from offbus_steps.port import Conflict, Invalid, Object, Ref

__all__ = ["WITHOUT_STATUS", "apply_patch", "now", "prepare_new"]

WITHOUT_STATUS = frozenset({"ConfigMap", "Event", "Lease"})
"""Kinds that have no status subresource (Kubernetes API reference)."""

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
FIXED = ("name", "namespace", "creationTimestamp", "deletionTimestamp", "generation", "selfLink")


def now() -> str:
    """A time as Kubernetes writes it (`metav1.Time`: whole seconds, UTC)."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def prepare_new(obj: Mapping[str, Any]) -> Object:
    """The new object as it is stored: checked, with uid, time and generation, without status."""
    resource = resource_of(obj.get("kind"))
    if obj.get("apiVersion") not in resource.versions:
        known = " or ".join(map(repr, resource.versions))
        raise Invalid(f"{resource.kind} has apiVersion {obj.get('apiVersion')!r}, not {known}")
    given = obj.get("metadata")
    if not isinstance(given, Mapping):
        raise Invalid(f"{resource.kind} has no metadata")
    if given.get("resourceVersion"):
        raise Invalid("metadata.resourceVersion must not be set on an object that is created")
    meta = {key: value for key, value in given.items() if key not in {"managedFields", "deletionTimestamp"}}
    prefix = given.get("generateName")
    name = given.get("name") or (f"{prefix}{uuid.uuid4().hex[:5]}" if prefix else None)
    meta["name"] = checked(SUBDOMAIN, name, f"metadata.name of {resource.kind}")
    if resource.namespaced:
        meta["namespace"] = checked(LABEL, given.get("namespace") or "default", "metadata.namespace")
    elif meta.pop("namespace", ""):
        raise Invalid(f"{resource.kind} is not in a namespace, but metadata.namespace is set")
    check_labels(meta)
    meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": meta}


def checked(form: re.Pattern[str], value: Any, what: str) -> str:
    """`value` when it has the form that Kubernetes requires of such a name. Raises Invalid."""
    if not isinstance(value, str) or form.fullmatch(value) is None or ".." in value:
        raise Invalid(f"{what} is {value!r}", hint="use lower-case letters, digits, '-' (and '.' in names)")
    return value


def check_labels(meta: Mapping[str, Any]) -> None:
    """Labels and annotations are maps of strings. Raises Invalid."""
    for field in ("labels", "annotations"):
        for key, value in (meta.get(field) or {}).items():
            if not isinstance(value, str):
                raise Invalid(f"metadata.{field}[{key}] is {value!r}, not a string", hint="quote it")


def apply_patch(old: Object, merged: Object, *, status: bool) -> Object:
    """`merged` as the new version of `old`: the other half (status or the rest) stays, fixed fields are checked.

    Raises Conflict when resourceVersion or uid do not match, Invalid when a fixed field would change.
    """
    for field in ("resourceVersion", "uid"):  # a patch that has one of them is for that one only
        have, want = old["metadata"][field], merged["metadata"].get(field)
        if want != have:
            raise Conflict(f"{Ref.of(old)} has {field} {have}, the patch is for {want}", hint="read it again")
    if status:
        return {**old, "status": merged.get("status", {})}
    for field in FIXED:
        if merged["metadata"].get(field) != old["metadata"].get(field):
            raise Invalid(f"metadata.{field} of {Ref.of(old)} cannot be changed")
    for field in ("kind", "apiVersion"):
        if merged.get(field) != old[field]:
            raise Invalid(f"{field} of {Ref.of(old)} cannot be changed")
    check_labels(merged["metadata"])
    new = {key: value for key, value in merged.items() if key != "status"}
    if "status" in old:
        new["status"] = old["status"]
    changed = any(new.get(key) != old.get(key) for key in {*new, *old} - {"metadata", "status"})
    generation = old["metadata"]["generation"] + changed
    return {**new, "metadata": {**merged["metadata"], "generation": generation}}
