"""One container: start, probes, restarts with back-off, end; every change is reported to its pod.

A failure to start (no such program, a bad reference) is a state of the container, never an error of the kubelet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from offbus_sandbox.kubelet.host import Host, log_folder
from offbus_sandbox.kubelet.probe import Probe, until_started, watch_probe
from offbus_sandbox.kubelet.variables import ConfigError, container_argv, container_env, mounted_folders
from offbus_sandbox.processes.child import Child, Command, ExitStatus
from offbus_sandbox.processes.restart_backoff import restarted
from offbus_sandbox.store.rules import now
from offbus_steps.port import Object
from offbus_steps.workloads.gpus import GPU_RESOURCE

__all__ = ["Container", "PodView"]

UNKNOWN = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": "the supervisor was restarted"}
"""The kubelet's status of a container whose end it did not see."""
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@dataclass(slots=True)
class PodView:
    """What a container needs to know of its pod."""

    host: Host
    pod: Object
    ip: str
    changed: Callable[[], None]
    """Called whenever a container's status changes."""
    grace_s: float
    """How long its processes may take to end: the pod's own grace, or that of its deletion."""


class Container:
    """The lifecycle of one container of one pod."""

    def __init__(self, view: PodView, spec: Mapping[str, Any], gpus: Sequence[str], *, policy: str) -> None:
        """`policy` is the restart policy: Always, OnFailure or Never."""
        self._view = view
        self._spec = spec
        self._gpus = gpus
        self._policy = policy
        self._state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self._last: dict[str, Any] = {}
        self._ready = False
        self.started = anyio.Event()
        """Set when it runs and its startup probe, if it has one, has succeeded."""
        self._restarts = 0
        self._child: Child | None = None
        self._probes: dict[str, Probe] = {}

    def take_over(self, old: Mapping[str, Any]) -> None:
        """Continue from a status of an earlier supervisor: nobody saw its process end."""
        running = old["state"].get("running")
        ended = {**UNKNOWN, "startedAt": running["startedAt"], "finishedAt": now()} if running else None
        self._last = {"terminated": ended} if ended else dict(old.get("lastState") or {})
        self._restarts = old["restartCount"] + ("waiting" not in old["state"])

    @property
    def status(self) -> dict[str, Any]:
        """The entry of `containerStatuses`."""
        status: dict[str, Any] = {
            "name": self._spec["name"],
            "image": self._spec.get("image", ""),
            "ready": self._ready,
            "started": "running" in self._state,
            "restartCount": self._restarts,
            "state": self._state,
            "lastState": self._last,
        }
        if self._gpus:  # which devices the container holds (feature ResourceHealthStatus)
            devices = [{"resourceID": uuid, "health": "Healthy"} for uuid in self._gpus]
            status["allocatedResourcesStatus"] = [{"name": GPU_RESOURCE, "resources": devices}]
        return status

    def kill(self) -> None:
        """End the process now: for a pod whose grace was shortened to zero."""
        if self._child:
            self._child.kill()

    async def run(self) -> int:
        """Run until the restart policy allows no restart: the last exit code. Cancelled: end the process with grace."""
        earlier = self._restarts

        async def life(number: int) -> int | None:
            self._restarts = earlier + number
            code = await self._once()
            final = self._policy == "Never" or (self._policy == "OnFailure" and code == 0)
            return code if final else None

        return await restarted(self._view.host.config.backoff, life, self._waits)

    async def _once(self) -> int:
        try:
            self._probes = {
                name: Probe.of(spec, self._spec, self._view.ip, self._view.host.config.probe_period_s)
                for name in PROBES
                if (spec := self._spec.get(name)) is not None
            }
            child = self._child = self._start()
        except (ConfigError, OSError, ValueError) as err:
            return self._refused(err)
        unprobed = self._spec.get("readinessProbe") is None and self._spec.get("startupProbe") is None
        self._set({"running": {"startedAt": now()}}, ready=unprobed)
        if self._spec.get("startupProbe") is None:
            self.started.set()
        grace = 0.0
        try:
            async with anyio.create_task_group() as probes:
                probes.start_soon(self._probe, child)
                await child.wait()  # it ended by itself, or a probe killed it
                probes.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            grace = self._view.grace_s
            self._set_ready(False)  # no new requests for a container that is about to end
            raise
        finally:
            with anyio.CancelScope(shield=True):  # bounded: grace, then SIGKILL
                status = await child.end(grace)
            self._child = None
            self._ended(status)
        return status.code

    def _start(self) -> Child:
        host, pod = self._view.host, self._view.pod
        env = container_env(
            pod, self._spec, host.environment(pod, self._view.ip, self._gpus), host.store.find
        )
        folder = log_folder(host.root, pod, self._spec["name"])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in mounted_folders(pod, self._spec, env):
            host.below_root(path).mkdir(mode=0o755, parents=True, exist_ok=True)
        home = host.pod_folder(pod)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        cwd = home / self._spec["workingDir"] if self._spec.get("workingDir") else home
        log = folder / f"{self._restarts}.log"
        (folder / f"{self._restarts - 2}.log").unlink(
            missing_ok=True
        )  # this start's log and the previous one stay
        return Child(Command(container_argv(self._spec, env), env, log, cwd), host.layout.processes)

    def _refused(self, err: Exception) -> int:
        reason = "CreateContainerConfigError" if isinstance(err, ConfigError) else "RunContainerError"
        self._last = {
            "terminated": {"exitCode": 128, "reason": reason, "message": str(err), "finishedAt": now()}
        }
        self._set({"waiting": {"reason": reason, "message": str(err)}}, ready=False)
        return 128

    async def _probe(self, child: Child) -> None:
        client = self._view.host.probes
        if startup := self._probes.get("startupProbe"):
            if not await until_started(startup, client):
                child.kill()
                return
            self._set_ready(self._spec.get("readinessProbe") is None)
            self.started.set()
        async with anyio.create_task_group() as group:
            if readiness := self._probes.get("readinessProbe"):
                group.start_soon(lambda: watch_probe(readiness, client, self._set_ready, start=False))
            if liveness := self._probes.get("livenessProbe"):
                group.start_soon(lambda: watch_probe(liveness, client, lambda _: child.kill(), start=True))

    def _set_ready(self, ready: bool) -> None:
        self._set(self._state, ready=ready)

    def _ended(self, status: ExitStatus) -> None:
        started = self._state["running"]["startedAt"]
        reason = "Completed" if status.code == 0 else "Error"
        ended: dict[str, Any] = {
            "exitCode": status.code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": now(),
        }
        if status.signal:
            ended["signal"] = status.signal
        self._set({"terminated": ended}, ready=False)

    def _waits(self, delay_s: float) -> None:
        ended = self._state.get("terminated")
        if ended:
            self._last = {"terminated": ended}
        if delay_s > 0:
            pod, name = self._view.pod["metadata"]["name"], self._spec["name"]
            message = f"back-off {delay_s:g}s restarting failed container={name} pod={pod}"
            self._set({"waiting": {"reason": "CrashLoopBackOff", "message": message}}, ready=False)

    def _set(self, state: dict[str, Any], *, ready: bool) -> None:
        self._state, self._ready = state, ready
        self._view.changed()
