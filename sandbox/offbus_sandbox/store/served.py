"""The kinds that the sandbox serves: the port's, without those that no controller here would act on.

A LeaderWorkerSet, a PersistentVolumeClaim, an admission policy or a webhook without a controller would look deployed
and never work, and the stand-in responder requests no TerminateNode. They are refused, as a
cluster refuses kinds that it does not serve.
"""

from collections.abc import Mapping
from typing import Any

from offbus_steps.kinds import KINDS, ApiResource
from offbus_steps.port import Invalid

__all__ = ["SERVED", "resource_of"]

NOT_PLAYED = frozenset(
    {
        "DisaggregatedSet",
        "DynamoComponentDeployment",
        "LeaderWorkerSet",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "PersistentVolumeClaim",
        "PodClique",
        "PodCliqueScalingGroup",
        "PodCliqueSet",
        "TerminateNode",
    }
)
SERVED: Mapping[str, ApiResource] = {name: one for name, one in KINDS.items() if name not in NOT_PLAYED}


def resource_of(kind: Any) -> ApiResource:
    """The API resource of a kind. Raises Invalid for one that is not served."""
    resource = SERVED.get(kind) if isinstance(kind, str) else None
    if resource is None:
        raise Invalid(f"kind {kind!r} is not served here", hint=f"served are {', '.join(sorted(SERVED))}")
    return resource
