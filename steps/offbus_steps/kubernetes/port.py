"""The environment port over a Kubernetes API server: `async with open_port(login) as port`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from offbus_steps.kubernetes.agents import KubernetesAgents
from offbus_steps.kubernetes.frontends import Frontends
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import Api
from offbus_steps.kubernetes.rest.connection import Connection, Login
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.kubernetes.rest.rate_limit import Pace
from offbus_steps.kubernetes.traffic import KubernetesTraffic
from offbus_steps.port import Port

__all__ = ["AGENT_NAMESPACE", "KubernetesPort", "open_port"]

AGENT_NAMESPACE = "offbus-system"
QPS, BURST = 50.0, 100


class KubernetesPort(Port):
    """`offbus_steps.port.Port` for a real cluster."""

    objects: KubernetesObjects
    agents: KubernetesAgents
    traffic: KubernetesTraffic

    def __init__(self, api: Api, agent_namespace: str) -> None:
        self.api = api
        self.agent_namespace = agent_namespace
        self.served = ServedKinds(api)
        self.objects = KubernetesObjects(api, self.served)
        self.agents = KubernetesAgents(api, self.objects, agent_namespace)
        self.traffic = KubernetesTraffic(api, Frontends(self.objects))

    def host_path(self, path: str, sub: str) -> str:  # the port's contract
        """The mount path itself: a container sees a hostPath where it is mounted."""
        return path


@asynccontextmanager
async def open_port(
    login: Login, *, agent_namespace: str = AGENT_NAMESPACE, qps: float = QPS, burst: int = BURST
) -> AsyncIterator[KubernetesPort]:
    """A port, which connects on first use. Raises CouldNotRun when the credentials cannot be read."""
    async with Connection(login) as connection:
        yield KubernetesPort(Api(connection, Pace(qps, burst)), agent_namespace)
