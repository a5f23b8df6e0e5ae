"""Paths of the API server's REST interface. Pure.

Names come from scenarios, manifests and clusters: one that could change the path raises `Invalid`.
"""

from typing import Any
from urllib.parse import quote

from offbus_steps.kinds import KINDS, ApiResource
from offbus_steps.port import Invalid, Ref

__all__ = ["collection", "group_of", "member", "proxied", "resource_of"]


def resource_of(kind: Any) -> ApiResource:
    """Where a kind is served. Raises Invalid for one that offbus does not use."""
    resource = KINDS.get(kind) if isinstance(kind, str) else None
    if resource is None:
        raise Invalid(f"offbus does not know kind {kind!r}", hint=f"it knows {', '.join(sorted(KINDS))}")
    return resource


def group_of(api_version: str) -> str:
    """The API group; "" for the core group."""
    return api_version.rpartition("/")[0]


def collection(resource: ApiResource, namespace: str = "") -> str:
    """The path of all objects of a kind, in one namespace or ("") in all."""
    root = "/apis" if "/" in resource.api_version else "/api"  # the core group has its own
    scope = f"/namespaces/{_segment(namespace, namespace)}" if namespace else ""
    return f"{root}/{resource.api_version}{scope}/{resource.plural}"


def member(resource: ApiResource, ref: Ref, subresource: str = "") -> str:
    """The path of one object, or of one of its subresources. Raises Invalid for what cannot be a name."""
    if resource.namespaced and not ref.namespace:
        raise Invalid(f"{ref} needs a namespace")
    namespace = ref.namespace if resource.namespaced else ""
    path = f"{collection(resource, namespace)}/{_segment(ref.name, ref)}"
    return f"{path}/{subresource}" if subresource else path


def proxied(plural: str, namespace: str, name: str, port: int | str, path: str) -> str:
    """A path behind the API server's proxy of a pod or a service ("pods", "services")."""
    where = f"/api/v1/namespaces/{_segment(namespace, namespace)}/{plural}/{_segment(name, name)}:{port}"
    return f"{where}/proxy/{path.lstrip('/')}"


def _segment(name: str, what: object) -> str:
    if not name or "/" in name or name in {".", ".."}:
        raise Invalid(f"{str(what)!r} is not the name of an object")
    return quote(name, safe="")
