"""One node's agent as a whole, for its HTTP interface and its program.

Job: wiring, health, readiness, and the published guides' form of injection. All decisions are its parts'.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_agent.faults.clear import Clearing, monitor_of
from offbus_agent.faults.collector import Collector, InThread
from offbus_agent.faults.hidden import HelperLooks, Looks, OwnLooks
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.process_evidence import Evidence
from offbus_agent.faults.processes import preloaded
from offbus_agent.faults.registry import FaultBook
from offbus_agent.faults.service import Faults
from offbus_agent.faults.store import Store
from offbus_agent.gpus import Gpu, GpuDiscoveryError, Survey, survey
from offbus_agent.kernel_log.helper import HelperLog
from offbus_agent.kernel_log.kmsg import KmsgDevice
from offbus_agent.kernel_log.log import KernelLogError, TextLog
from offbus_agent.kernel_log.open import open_kernel_log
from offbus_agent.kmsg_helper import HelperUnreachable, KmsgHelper
from offbus_agent.lease_time import boot_id, boottime_ns
from offbus_agent.models import (
    GUIDE_RUN,
    Fault,
    FaultRequest,
    GpuShape,
    Health,
    InjectXidRequest,
    PlaneHealth,
    PreloadAnswer,
    PreloadShape,
    ResponderShape,
)
from offbus_agent.page.pod_folders import HelperFolders, OwnFolders
from offbus_agent.planes.page_plane import NodePage
from offbus_agent.planes.planes import PlaneFailedError, Planes
from offbus_agent.refusals import Refusal, helper_away
from offbus_agent.shared_look import Shared

__all__ = ["Agent", "NodePaths", "open_agent"]

GUIDE_TTL_S = 300.0
"""The lease of a fault that `/inject-xid` creates, when its request has no duration."""
HELPER_WITHIN_S = 0.5
"""How long readiness waits for the kernel-log helper: less than a kubelet waits for an answer."""


@dataclass(frozen=True, slots=True)
class NodePaths:
    """A node's paths: its root folder, its kernel log, the agent's own state."""

    node: str
    root: Path
    kmsg: Path
    state: Path


class Agent:
    """The agent of one node."""

    def __init__(
        self,
        paths: NodePaths,
        page: NodePage,
        planes: Planes,
        book: FaultBook,
        faults: Faults,
        collector: Collector,
        looks: Looks,
        helper: HelperLog | None = None,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self.page = page
        self.book = book
        self.faults = faults
        self.collector = collector
        self.version = version("offbus")
        self.node = paths.node
        self._paths = paths
        self._planes = planes
        self._boot_id = boot_id()
        self._node = Shared(partial(in_thread, self._look), joins=True)
        self._preloaded = Shared(partial(in_thread, preloaded, looks, paths.root))
        self._helper = helper

    def helper_away(self) -> str:
        """Why the kernel-log helper cannot be asked; "" where it can, and where this process needs none. Blocking."""
        if self._helper is None:
            return ""
        try:
            self._helper.check_helper(HELPER_WITHIN_S)
        except KernelLogError as err:
            return err.message
        return ""

    async def health(self) -> Health:
        """The node, its GPUs, and which planes work. Raises Refusal when the GPUs cannot be listed."""
        found, kernel = await self._node()
        return Health(
            node=self._paths.node,
            version=self.version,
            boot_id=self._boot_id,
            now_ns=boottime_ns(),
            gpus=[GpuShape.model_validate(gpu.as_json()) for gpu in found.gpus],
            unreadable=list(found.unreadable),
            responder=_responder(found),
            faults=sum(1 for _ in self.book),
            armed=len(self.book.armed()),
            planes={
                Plane.KERNEL: kernel,
                **{plane: self.plane_health(plane) for plane in sorted(PAGE_PLANES)},
            },
        )

    async def preload(self, pod: str) -> PreloadAnswer:
        """What the containers of the pod with that uid preload; empty for a pod that does not run here.

        Raises Refusal when the kernel-log helper cannot be asked.
        """
        try:
            found = (await self._preloaded()).get(pod, [])
        except HelperUnreachable as err:
            raise helper_away(err) from err
        return PreloadAnswer(
            processes=[PreloadShape(pid=one.pid, container=one.container, value=one.value) for one in found]
        )

    async def inject_xid(self, request: InjectXidRequest) -> tuple[Fault, bool]:
        """Inject on the kernel plane only, on the GPU of that index, until the lease expires. Raises Refusal."""
        here = {gpu.index: gpu for gpu in gpus_of(self._paths.root)}
        if request.gpu_id not in here:
            known = ", ".join(str(index) for index in here) or "none"
            raise Refusal(
                422, "unknown_gpu", f"no GPU {request.gpu_id} on this node", f"indices here: {known}"
            )
        return await self.faults.create(
            FaultRequest(
                id=request.fault_id,
                run=GUIDE_RUN,
                epoch=0,
                xid=request.xid_type,
                gpus=[here[request.gpu_id].uuid],
                planes=[Plane.KERNEL],
                ttl_s=request.duration or GUIDE_TTL_S,
            )
        )

    def _look(self) -> tuple[Survey, PlaneHealth]:
        """What may take a moment: files of drivers, and a kernel log that others may have. Raises Refusal."""
        return survey_of(self._paths.root), self.plane_health(Plane.KERNEL)

    def plane_health(self, plane: Plane) -> PlaneHealth:
        """Whether a plane can be used now; it may have to ask the kernel-log helper."""
        path = self._planes.path(plane)
        try:
            self._planes.check(plane)
        except PlaneFailedError as err:
            return PlaneHealth(ok=False, path=path, why=err.why, code=err.code)
        return PlaneHealth(ok=True, path=path)


def _responder(found: Survey) -> ResponderShape:
    if found.metadata is None:
        return ResponderShape(metadata=False)
    known = [gpu.uuid for gpu in found.gpus if gpu.uuid in found.metadata.pcis]
    return ResponderShape(metadata=True, driver=found.metadata.driver, gpus=known)


def gpus_of(root: Path) -> tuple[Gpu, ...]:
    """The node's GPUs now. Raises Refusal when the files that list them are not valid."""
    return survey_of(root).gpus


def survey_of(root: Path) -> Survey:
    """Raises Refusal when the files that list the GPUs are not valid."""
    try:
        return survey(root)
    except GpuDiscoveryError as err:
        raise Refusal(500, "gpus_unknown", str(err), "fix the file that lists the GPUs") from err


def _own_log(path: Path) -> TextLog:
    """The node's log. Raises KernelLogError."""
    own = open_kernel_log(path)
    own.check()
    return own


def open_agent(
    paths: NodePaths,
    policy: Policy,
    store: Store,
    now_ns: Callable[[], int] = boottime_ns,
    in_thread: InThread = asyncio.to_thread,
    helper: KmsgHelper | None = None,
) -> Agent:
    """The agent of a node, with its stored faults restored; `now_ns` is the clock of its leases.

    `helper` does what needs root; without one, this process does. `in_thread` is where evidence is collected: a test on
    virtual time, which no thread keeps up with, does it inline.

    Raises KernelLogError, NodePageError.
    """
    kernel = HelperLog.open(helper) if helper else _own_log(paths.kmsg)
    asked = kernel if isinstance(kernel, HelperLog) else None
    page = NodePage.prepare(paths.root, HelperFolders(helper) if helper else OwnFolders())
    looks = HelperLooks(helper) if helper else OwnLooks(page.path)
    planes = Planes(kernel, page)
    book = FaultBook(store, planes, now_ns)
    book.restore()
    collector = Collector(book, Evidence(page, paths.root, looks), in_thread)
    of_machine = asked.is_device if asked else isinstance(kernel, KmsgDevice)
    clearing = Clearing(planes, book, partial(monitor_of, paths.root, looks, of_machine=of_machine))
    faults = Faults(book, planes, policy, lambda: gpus_of(paths.root), clearing, collector)
    return Agent(paths, page, planes, book, faults, collector, looks, asked, in_thread)
