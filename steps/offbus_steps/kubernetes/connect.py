"""Connects to the cluster that the options name; a call that fails meanwhile means that the run could not begin."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Observed, PortError

__all__ = ["journaled_options", "observed_kubernetes", "port_of", "unreachable"]


def port_of(options: KubernetesOptions) -> AbstractAsyncContextManager[KubernetesPort]:
    """The port that the options ask for."""
    return open_port(
        options.login(), agent_namespace=options.agent_namespace, qps=options.qps, burst=options.burst
    )


def journaled_options(options: KubernetesOptions) -> dict[str, Any]:
    """The options for the journal: they mean the same in another process of this machine."""
    named = options.model_dump(mode="json")
    return named if options.login().in_cluster else {**named, "kubeconfig": str(options.login().file)}


@contextmanager
def unreachable(while_opening: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Turn a refused or failed call into CouldNotRun while the environment is being opened."""
    try:
        yield
    except PortError as err:
        if not while_opening():
            raise
        raise CouldNotRun(f"the cluster cannot be used: {err.message}", hint=err.hint) from err


@asynccontextmanager
async def observed_kubernetes(options: KubernetesOptions) -> AsyncIterator[Observed]:
    """The cluster, for whoever only looks at it (`offbus_steps.port.Observable`)."""
    async with port_of(options) as port:
        with unreachable():  # every user may ask for the version
            version = await port.api.json(Call("GET", "/version"))
        yield Observed(port, f"Kubernetes {version.get('gitVersion', 'of unknown version')}")
