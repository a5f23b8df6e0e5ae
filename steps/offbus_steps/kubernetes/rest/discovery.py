"""Which version of a kind this cluster serves.

`KINDS` names the version that offbus speaks best. A cluster that serves only another one that it knows as well (a
DynamoGraphDeployment as v1alpha1 alone) is spoken to in that one; objects are made in the version they are written in.
Asked once for each kind that has more than one version, by discovery; a group that is not served stays with the
version of `KINDS`, and the call itself answers NotFound.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.paths import group_of, resource_of
from offbus_steps.port import ApiResource, Invalid, NotFound

__all__ = ["ServedKinds"]


class ServedKinds:
    """The kinds of one cluster."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, ApiResource] = {}

    async def resource(self, kind: str) -> ApiResource:
        """Where a kind is served here. Raises Invalid for one that offbus does not use."""
        resource = resource_of(kind)
        if not resource.also:
            return resource
        if kind not in self._known:
            version = await self._choose(resource)
            if version is None:
                return resource
            self._known[kind] = replace(resource, api_version=version)
        return self._known[kind]

    async def for_object(self, obj: Mapping[str, Any]) -> ApiResource:
        """Where an object is created: in the version that it is written in, else the best served. Raises Invalid."""
        resource = resource_of(obj.get("kind"))
        written = str(obj.get("apiVersion") or (await self.resource(resource.kind)).api_version)
        if written not in resource.versions:
            raise Invalid(
                f"{resource.kind} {written} is not known to offbus", hint=f"use {resource.api_version}"
            )
        return replace(resource, api_version=written)

    async def serves_group(self, api_version: str) -> bool:
        """Whether the cluster serves any version of an API group."""
        group = group_of(api_version)
        return not group or bool(await self._versions(group))

    async def _choose(self, resource: ApiResource) -> str | None:
        served = await self._versions(group_of(resource.api_version))
        for version in resource.versions:
            if version in served and await self._has(version, resource.plural):
                return version
        return None

    async def _has(self, version: str, plural: str) -> bool:
        """A served version of a group need not have every kind of the group."""
        found = await self._api.json(Call("GET", f"/apis/{version}"))
        return any(one["name"] == plural for one in found.get("resources") or ())

    async def _versions(self, group: str) -> set[str]:
        try:
            found = await self._api.json(Call("GET", f"/apis/{group}"))
        except NotFound:
            return set()
        return {str(one["groupVersion"]) for one in found.get("versions") or ()}
