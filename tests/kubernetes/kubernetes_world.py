"""The users of the lone API server: each of them can do one thing less than a runner needs."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from offbus_steps.kubernetes.permissions import RIGHTS
from offbus_steps.kubernetes.port import KubernetesPort

__all__ = ["PortFor", "Users"]

PortFor = Callable[[str], AbstractAsyncContextManager[KubernetesPort]]
"""`async with port_for(user) as port`."""


class Users:
    """Names of users."""

    ENTITLED = "entitled"
    """Has every right."""
    JAILED = "jailed"
    """Belongs to a flow that admits nobody."""
    NOBODY = "nobody"
    """Has no right."""

    @classmethod
    def lacking(cls, number: int) -> str:
        """Has every right but one."""
        return f"lacks-{number}"

    @classmethod
    def all(cls) -> dict[str, str]:
        """Names to groups."""
        names = [cls.ENTITLED, cls.JAILED, cls.NOBODY, *(cls.lacking(n) for n in range(len(RIGHTS)))]
        return dict.fromkeys(names, "drillers")
