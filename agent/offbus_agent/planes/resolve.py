"""Resolves a request to the codes, the mode and the text that its fault will show.

Job: join a `FaultRequest` with the catalogue, and refuse what cannot show: an unknown XID or GPU, a plane that has
nothing to show for that XID, a code that no driver returns. Pure; it changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from offbus_agent.catalogue.catalogue import UnknownXid, Xid, lookup
from offbus_agent.catalogue.nvlink5 import FIRST_R575, branch
from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.result_codes import Code, UnknownCode, cuda_code, nvml_code
from offbus_agent.catalogue.xid_effects import Mode
from offbus_agent.gpus import Gpu
from offbus_agent.kernel_log.line import UnsafeLine, XidLine
from offbus_agent.models import FaultRequest
from offbus_agent.refusals import Refusal

__all__ = ["Plan", "line", "plan"]


_MAKES_THE_CALL = (Mode.HANG, Mode.DELAY)


@dataclass(frozen=True, slots=True)
class Plan:
    """A resolved fault. A code is None when its plane was not requested, or needs none in this mode."""

    xid: Xid
    gpus: tuple[Gpu, ...]
    planes: frozenset[Plane]
    cuda: Code | None
    nvml: Code | None
    mode: Mode

    @property
    def answers(self) -> dict[Plane, int]:
        """What faulted calls return on each page plane; 0 in the modes that make the call."""
        asked = ((Plane.CUDA, self.cuda), (Plane.NVML, self.nvml))
        made = self.mode in _MAKES_THE_CALL
        return {
            plane: 0 if made or not code else code.number for plane, code in asked if plane in self.planes
        }


def plan(request: FaultRequest, gpus: Iterable[Gpu]) -> Plan:
    """The plan for `request` on a node with these GPUs. Raises Refusal 422."""
    try:
        xid = lookup(request.xid)
    except UnknownXid as err:
        raise Refusal(422, "unknown_xid", err.message) from err
    chosen = _gpus(request.gpus, {gpu.uuid: gpu for gpu in gpus})
    planes = frozenset(request.planes)
    mode = request.mode or xid.mode
    if (mode is Mode.DELAY) != (request.delay_ms is not None):
        raise Refusal(
            422, "mode_without_delay", "mode delay and delay_ms go together", "set both, or neither"
        )
    usual_cuda = xid.guide_cuda if request.codes == "guide" else xid.cuda
    made = Plan(
        xid=xid,
        gpus=chosen,
        planes=planes,
        cuda=_code(request, Plane.CUDA, usual_cuda, mode),
        nvml=_code(request, Plane.NVML, xid.nvml, mode),
        mode=mode,
    )
    if Plane.KERNEL in planes:
        for gpu in chosen:
            line(made, gpu, request)
    return made


def line(made: Plan, gpu: Gpu, request: FaultRequest) -> XidLine:
    """The kernel line for one GPU. Raises Refusal 422 when it would not be one record."""
    found = XidLine(
        xid=made.xid.number,
        before_r575=(branch(gpu.driver) or FIRST_R575) < FIRST_R575,
        gpu=gpu.index,
        dialect=request.dialect,
        fault=request.id,
        pci=gpu.pci,
    )
    try:
        found.text(at_ns=0)
    except UnsafeLine as err:
        raise Refusal(422, "unsafe_line", str(err)) from err
    return found


def _gpus(wanted: list[str], here: dict[str, Gpu]) -> tuple[Gpu, ...]:
    unknown = [uuid for uuid in wanted if uuid not in here]
    if unknown or len(set(wanted)) != len(wanted):
        what = f"no GPU {', '.join(unknown)} on this node" if unknown else "a GPU is listed twice"
        raise Refusal(422, "unknown_gpu", what, f"GPUs here: {', '.join(here) or 'none'}")
    return tuple(here[uuid] for uuid in wanted)


def _code(request: FaultRequest, plane: Plane, usual: Code | None, mode: Mode) -> Code | None:
    """None also in the modes that make the call: those need no code."""
    given, known = (request.cuda_code, cuda_code) if plane is Plane.CUDA else (request.nvml_code, nvml_code)
    if plane not in request.planes:
        if given is not None:
            raise Refusal(
                422, "code_without_plane", f"{plane}_code is set, but plane {plane} is not requested"
            )
        return None
    try:
        code = usual if given is None else known(given)
    except UnknownCode as err:
        raise Refusal(422, "unknown_code", str(err)) from err
    if code is None and mode not in _MAKES_THE_CALL:
        raise Refusal(
            422,
            "nothing_to_show",
            f"XID {request.xid} has no {plane} code"
            + (" in the published guide" if request.codes == "guide" and plane is Plane.CUDA else ""),
            f"remove plane {plane}, or set {plane}_code",
            plane=plane.value,
        )
    return code
