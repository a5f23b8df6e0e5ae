"""The kinds that the sandbox serves: those of the port, without the ones that nothing here would make true.

A LeaderWorkerSet, a PersistentVolumeClaim, an admission policy or a webhook that is stored and never acted on would
look deployed and never be. They are refused as a cluster refuses what it does not serve.
"""

from collections.abc import Mapping
from typing import Any

from offbus_steps.port import KINDS, ApiResource, Invalid

__all__ = ["SERVED", "resource_of"]

NOT_PLAYED = frozenset(
    {
        "LeaderWorkerSet",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "PersistentVolumeClaim",
    }
)
SERVED: Mapping[str, ApiResource] = {name: one for name, one in KINDS.items() if name not in NOT_PLAYED}


def resource_of(kind: Any) -> ApiResource:
    """Where a kind is served. Raises Invalid for one that is not."""
    resource = SERVED.get(kind) if isinstance(kind, str) else None
    if resource is None:
        raise Invalid(f"kind {kind!r} is not served here", hint=f"served are {', '.join(sorted(SERVED))}")
    return resource
