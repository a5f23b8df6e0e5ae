"""The controller: watches nodes, pods and the datastore; one worker for each node acts when something changes.

A worker calls `Reconciler.look` and then waits for the next change, or for the time that `look` returned. All state is
in the cluster, so a new controller continues where a killed one stopped. A refused or failed call is logged and
retried; it never stops the other workers. Must not: decide (that is `reconciler`).
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from offbus.errors import Retryable
from offbus_sandbox.responder.config import JanitorMode, ResponderConfig
from offbus_sandbox.responder.controller.reconciler import Reconciler, utc_now
from offbus_sandbox.responder.controller.validation import nodes_of
from offbus_sandbox.responder.datastore import LABEL
from offbus_sandbox.responder.janitor.janitor import Janitor
from offbus_sandbox.responder.janitor.node_repair import LocalNodes
from offbus_sandbox.responder.watch import follow
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.containers import STANDIN_PROFILE
from offbus_steps.port import Conflict, NotFound, Port, PortError, Ref

__all__ = ["Controller"]

_RETRY_S = 0.5
_REFUSED_S = 5.0
_log = logging.getLogger(__name__)


class Controller:
    """One cluster's controller. `nodes` is the folder with the local nodes' folders, for which it is also the janitor.

    In a cluster it is None: each node has its own janitor.
    """

    def __init__(
        self, port: Port, config: ResponderConfig, nodes: Path | None, utc: Callable[[], datetime] = utc_now
    ) -> None:
        self._objects = port.objects
        self._config = config
        self._nodes = nodes
        self._reconciler = Reconciler(port.objects, config, utc)
        self._changed: dict[str, anyio.Event] = {}
        self._node_of: dict[Ref, str] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until cancelled; `ready` is called once all existing nodes have been seen."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish)
            tasks.start_soon(self._follow_nodes, tasks, ready)
            tasks.start_soon(self._follow_pods)
            tasks.start_soon(self._follow_events)
            if self._config.validation.enabled:
                tasks.start_soon(self._follow_validations)
            if self._config.janitor is JanitorMode.SIMULATE and self._nodes is not None:
                janitor = Janitor(self._objects, LocalNodes(self._nodes), self._config)
                tasks.start_soon(janitor.run)

    async def _publish(self) -> None:
        """Say what this responder plays."""
        told = dict(self._config.published)
        while True:
            try:
                await self._objects.patch(STANDIN_PROFILE, {"data": told})
            except NotFound:
                with suppress(Conflict):
                    await self._objects.create(
                        {
                            "apiVersion": "v1",
                            "kind": "ConfigMap",
                            "metadata": {
                                "name": STANDIN_PROFILE.name,
                                "namespace": STANDIN_PROFILE.namespace,
                            },
                            "data": told,
                        }
                    )
            except Retryable:
                await anyio.sleep(_RETRY_S)
                continue
            return

    async def _follow_nodes(self, tasks: TaskGroup, ready: Callable[[], None]) -> None:
        async for seen in follow(self._objects, "Node", listed=ready):
            if seen.ref.name not in self._changed:
                self._changed[seen.ref.name] = anyio.Event()
                tasks.start_soon(self._work, seen.ref.name)
            if seen.object is not None:
                self._reconciler.seen(seen.object)
            self._wake(seen.ref.name)

    async def _follow_pods(self) -> None:
        """A pod that was bound or deleted may complete a drain."""
        async for seen in follow(self._objects, "Pod"):
            if seen.object is None:
                self._wake(self._node_of.pop(seen.ref, ""))
            elif node := seen.object.get("spec", {}).get("nodeName"):
                self._node_of[seen.ref] = node
                self._wake(node)

    async def _follow_events(self) -> None:
        """A health event is stored, or was changed."""
        store = self._reconciler.store
        async for seen in follow(
            self._objects, "ConfigMap", namespace=store.namespace, labels="=".join(LABEL)
        ):
            self._wake(store.node_of(seen.ref))

    async def _follow_validations(self) -> None:
        """A validation is asked for, or was changed."""
        while True:
            try:
                async for seen in follow(self._objects, names.VALIDATION_KIND):
                    for node in nodes_of(seen.object or {}):
                        self._wake(node)
            except NotFound:
                _log.warning("the cluster does not serve %s (yet)", names.VALIDATION_KIND)
                await anyio.sleep(_REFUSED_S)

    def _wake(self, node: str) -> None:
        if (changed := self._changed.get(node)) is not None:
            changed.set()

    async def _work(self, node: str) -> None:
        while True:
            self._changed[node] = changed = anyio.Event()
            wait = await self._look(node)
            with anyio.move_on_after(wait):
                await changed.wait()

    async def _look(self, node: str) -> float | None:
        try:
            return await self._reconciler.look(node)
        except Conflict:
            return 0.0
        except Retryable as err:
            _log.warning("node %s will be retried: %s", node, err)
            return max(err.after.total_seconds(), _RETRY_S)
        except PortError as err:
            _log.error("node %s: the API refused, retrying in %.0f s: %s", node, _REFUSED_S, err)
            return _REFUSED_S
