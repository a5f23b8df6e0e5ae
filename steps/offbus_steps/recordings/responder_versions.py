"""Which responder is deployed, and in which version, for a recording's header: never where its images come from.

Only what is deployed in the responder's own namespace counts, as in offbus_steps.nvsentinel.installation: elsewhere
whoever may deploy something chooses what its containers are called.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE, containers_in
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.nvsentinel.settings import STANDIN_NAME
from offbus_steps.port import Objects, PortError
from offbus_steps.recordings.views import CODE

__all__ = ["responder_versions"]

MOST = 100


async def responder_versions(objects: Objects, namespace: str) -> list[str]:
    """ "fault-quarantine v1.8.0" … of a namespace, as far as it can be read; raises nothing that a port raises."""
    try:
        deployments = (await objects.list("Deployment", namespace=namespace)).items
    except PortError:
        return ["unknown: the Deployments cannot be listed"]
    found = [one for one in containers_in(deployments, {}) if one.name in tuple(Part) or one.is_standin]
    if found:
        named = {f"{STANDIN_NAME if one.is_standin else one.name} {_version(one.spec)}" for one in found}
        return sorted(named)[:MOST]
    with suppress(PortError):
        profile = replace(STANDIN_PROFILE, namespace=namespace)
        await objects.get(profile)  # of a sandbox, where it is no Deployment
        return [STANDIN_NAME]
    return []


def _version(container: Mapping[str, Any]) -> str:
    """The tag of its image, or the beginning of its digest."""
    image = str(container.get("image", ""))
    _, _, digest = image.partition("@sha256:")
    tag = digest[:12] or image.rpartition("/")[2].partition(":")[2]
    return tag if CODE.fullmatch(tag.replace("-", "_")) else "of unknown version"
