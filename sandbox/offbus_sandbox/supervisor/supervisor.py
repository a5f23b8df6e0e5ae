"""The supervisor's lifecycle: take over from a dead one, serve, and end with nothing left behind.

It ends on a signal (SIGTERM, SIGINT, SIGHUP) or after `idle_s` without a client. Ending means:
faults disarmed, pods and services ended, every process of the sandbox gone. The objects stay on disk.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup
from starlette.applications import Starlette

from offbus_sandbox.api.agents import AgentProxy
from offbus_sandbox.api.control import control_routes
from offbus_sandbox.api.idle import Idle
from offbus_sandbox.api.objects import ObjectRoutes
from offbus_sandbox.api.pods import PodRoutes
from offbus_sandbox.api.server import Server, listen, on_port_error
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.survey import end_leftovers, strays
from offbus_sandbox.store.served import SERVED
from offbus_sandbox.supervisor.cluster import LocalCluster
from offbus_sandbox.supervisor.disarm import disarm_all
from offbus_steps.port import PortError

__all__ = ["Supervisor"]


class Supervisor:
    """One sandbox, from start to end. The caller holds the lock."""

    def __init__(self, layout: Layout, config: SandboxConfig) -> None:
        self._layout = layout
        self._config = config
        self._cluster = LocalCluster(layout, config)
        self._agents = AgentProxy(layout, config.node_names)
        self._stopping = anyio.Event()
        self._log = structlog.get_logger()

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until the end; `ready` is called once requests are served and all services are ready."""
        idle = Idle(self._config.idle_s)
        store = self._cluster.store
        routes = [
            *PodRoutes(store, self._layout).routes(),
            self._agents.route(),
            *control_routes(self._describe, lambda: {"processes": strays(self._layout)}),
            *(route for resource in SERVED.values() for route in ObjectRoutes(store, resource).routes()),
        ]
        app = Starlette(routes=routes, exception_handlers={PortError: on_port_error})
        app.router.redirect_slashes = False  # an object's path is the one path of it
        servers = {self._layout.api: Server(idle.counting(app)), self._layout.internal: Server(app)}
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._signals)
                async with anyio.create_task_group() as serving:
                    for path, server in servers.items():
                        serving.start_soon(server.serve, [listen(path)])
                    await self._live(group, ready, idle)
                    store.history.close()  # ends the watches, which would block the servers' end
                    for server in servers.values():
                        server.stop()
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):  # bounded: SIGKILL ends every process
                await end_leftovers(self._layout)
                await self._agents.aclose()
                await self._cluster.close()
                for path in servers:
                    path.unlink(missing_ok=True)

    def stop(self, reason: str) -> None:
        """Begin to end."""
        self._log.info("ending", reason=reason)
        self._stopping.set()

    async def _live(self, group: TaskGroup, ready: Callable[[], None], idle: Idle) -> None:
        """From the first program's start to the last one's end; a signal during the start ends it too."""
        async with anyio.create_task_group() as programs:
            with anyio.CancelScope() as starting:
                group.start_soon(self._cancel_when_stopping, starting)
                await self._cluster.start(programs)
                programs.start_soon(self._stop_when, idle)
                ready()
                self._log.info("serving", folder=str(self._layout.real))
            await self._stopping.wait()
            await disarm_all(self._layout, self._config.node_names if self._config.agents else ())
            await self._cluster.stop_pods()
            programs.cancel_scope.cancel()

    async def _cancel_when_stopping(self, scope: anyio.CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _stop_when(self, idle: Idle) -> None:
        await idle.reached()
        self.stop("no client for a while")

    async def _signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                self.stop(number.name)

    def _describe(self) -> dict[str, Any]:
        services = [
            {"name": s.name, "pid": s.process.pid if s.process else None, "restarts": s.restarts}
            for s in self._cluster.services
        ]
        return {
            "pid": os.getpid(),
            "folder": str(self._layout.real),
            "config": self._config.model_dump(mode="json"),
            "services": services,
            "stopping": self._stopping.is_set(),
        }
