"""The responder that is believed: what is deployed in one namespace, in which its owners alone may write.

Parts of a responder are recognised by their containers' names and command lines, which whoever may deploy something
anywhere can choose. So what the guards and `offbus plan` conclude from a responder's configuration comes from one
namespace (`guards.responder_namespace`). Where there is none in it, parts that stand elsewhere are told: they are not
believed, and not ruled out. Changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from offbus_steps.listing import projected
from offbus_steps.nvsentinel.containers import STANDIN_PROFILE, containers_in
from offbus_steps.nvsentinel.parts import ACTING
from offbus_steps.port import Object, Objects, Ref

__all__ = ["Installation", "installed", "told_by_standin"]


@dataclass(frozen=True, slots=True)
class Installation:
    """What is deployed in a responder's namespace."""

    namespace: str
    deployments: tuple[Object, ...] = ()
    maps: tuple[Object, ...] = ()
    """The ConfigMaps."""
    elsewhere: tuple[Ref, ...] = ()
    """Deployments in other namespaces with a part of a responder; only where there is none in this one."""

    @property
    def unknown(self) -> str:
        """Why it is not known which responder answers; "" where it is, or there is none."""
        if not self.elsewhere:
            return ""
        listed = ", ".join(map(str, self.elsewhere[:3])) + (", …" if len(self.elsewhere) > 3 else "")
        looks = (
            "looks like a part of a responder"
            if len(self.elsewhere) == 1
            else "look like parts of a responder"
        )
        return (
            f"{listed} {looks}, and only what is deployed in namespace {self.namespace} is believed: set "
            f"guards.responder_namespace to {self.elsewhere[0].namespace} if that is the responder's"
        )


async def installed(objects: Objects, namespace: str) -> Installation:
    """What is deployed in `namespace`. Raises PortError."""
    deployments = tuple((await objects.list("Deployment", namespace=namespace)).items)
    maps = tuple((await objects.list("ConfigMap", namespace=namespace)).items)
    if _parts(deployments):
        return Installation(namespace, deployments, maps)
    others = await projected(objects, "Deployment", lambda one: next(iter(_parts([one])), None))
    return Installation(namespace, deployments, maps, tuple(dict.fromkeys(others)))


async def told_by_standin(objects: Objects) -> Mapping[str, Any] | None:
    """What a stand-in has published of itself; None where none has. Raises PortError.

    It is listed, not got by its name: runner and reaper may only list ConfigMaps there (DEPLOYED_ACCESS).
    """

    def data(one: Object) -> Mapping[str, Any] | None:
        return (one.get("data") or {}) if one["metadata"]["name"] == STANDIN_PROFILE.name else None

    return next(iter(await projected(objects, "ConfigMap", data, namespace=STANDIN_PROFILE.namespace)), None)


def _parts(deployments: Iterable[Object]) -> list[Ref]:
    """The Deployments that have a part of a responder."""
    return list(
        dict.fromkeys(
            one.of for one in containers_in(deployments, {}) if one.name in ACTING or one.is_standin
        )
    )
