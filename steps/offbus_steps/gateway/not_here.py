"""What the published API has and offbus does in another way: each such route answers 501, and says which way."""

from collections.abc import Mapping

from offbus_agent.refusals import Refusal

__all__ = ["ROUTES", "gpu_fault", "refusal"]

_NETWORK = "faults of the network are not offbus's: use Chaos Mesh's NetworkChaos, or a NetworkPolicy, beside a drill"
_ARM = "use prepare_cuda and arm_cuda in a scenario, or `planes: [kernel, cuda, nvml]` here (docs/prepare.md)"

ROUTES: Mapping[tuple[str, str], str] = {
    ("POST", "/api/v1/faults/network/inject"): _NETWORK,
    ("POST", "/api/v1/faults/network/partition"): _NETWORK,
    ("POST", "/api/v1/faults/network/cleanup"): _NETWORK,
    ("POST", "/api/v1/faults/gpu/toggle-cuda"): _ARM,
    (
        "GET",
        "/api/v1/metrics/collect",
    ): "a drill measures itself: `offbus run` with `load`, and its report.json",
}
"""Method and path -> what to use instead."""

_GPU: Mapping[str, str] = {
    "throttle": "no driver reports it as an XID; a delay of calls is `arm_cuda: {mode: delay}`",
    "memory_pressure": "`arm_cuda: {cuda_code: CUDA_ERROR_OUT_OF_MEMORY}` makes allocations fail",
    "overheat": "XID 60, 61 or 62 tells of temperature: POST /api/v1/faults/gpu/inject/xid-62",
    "compute_overload": "a load of your own; offbus's `load` step sends requests to the target",
}


def refusal(method: str, path: str) -> Refusal:
    """The answer of one of `ROUTES`."""
    return Refusal(501, "not_here", f"{method} {path} is not done here", ROUTES[method, path])


def gpu_fault(kind: str) -> Refusal:
    """The answer to a type of GPU fault that is not an XID."""
    return Refusal(501, "not_here", f"fault_type {kind} is not done here", _GPU[kind])
