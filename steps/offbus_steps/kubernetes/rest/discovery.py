"""Which version of a kind this cluster serves.

`KINDS` names the version that offbus prefers. On a cluster that serves only another known version (a
DynamoGraphDeployment only as v1alpha1) that one is used; objects are created in the version they are written in. Each
kind with several versions is discovered once; for a group that is not served the version of `KINDS` remains, and the
call itself answers NotFound.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from offbus_steps.kinds import ApiResource
from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.paths import group_of, resource_of
from offbus_steps.port import Invalid, NotFound

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
            served = await self._versions(group_of(resource.api_version))
            for version in (one for one in resource.versions if one in served):
                # a served version of a group need not have every kind of the group
                found = await self._api.json(Call("GET", f"/apis/{version}"))
                if any(one["name"] == resource.plural for one in found.get("resources") or ()):
                    self._known[kind] = replace(resource, api_version=version)
                    break
        return self._known.get(kind, resource)

    async def for_object(self, obj: Mapping[str, Any]) -> ApiResource:
        """Where an object is created: in the version it is written in, else in the preferred one. Raises Invalid."""
        resource = resource_of(obj.get("kind"))
        written = str(obj.get("apiVersion") or (await self.resource(resource.kind)).api_version)
        if written not in resource.versions:
            raise Invalid(
                f"offbus does not know {resource.kind} {written}", hint=f"use {resource.api_version}"
            )
        return replace(resource, api_version=written)

    async def serves_group(self, api_version: str) -> bool:
        """Whether the cluster serves any version of an API group."""
        group = group_of(api_version)
        return not group or bool(await self._versions(group))

    async def _versions(self, group: str) -> set[str]:
        try:
            found = await self._api.json(Call("GET", f"/apis/{group}"))
        except NotFound:
            return set()
        return {str(one["groupVersion"]) for one in found.get("versions") or ()}
