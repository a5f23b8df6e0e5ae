"""The kinds of objects that offbus uses, and where an API server serves them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS", "ApiResource"]


@dataclass(frozen=True, slots=True)
class ApiResource:
    """Where a kind is served."""

    kind: str
    api_version: str
    """The version that offbus prefers."""
    plural: str
    namespaced: bool
    also: tuple[str, ...] = ()
    """Other versions that offbus can use."""

    @property
    def versions(self) -> tuple[str, ...]:
        """All that offbus can use, the preferred one first."""
        return (self.api_version, *self.also)


KINDS: Mapping[str, ApiResource] = {
    r.kind: r
    for r in (
        ApiResource("Node", "v1", "nodes", namespaced=False),
        ApiResource("Namespace", "v1", "namespaces", namespaced=False),
        ApiResource("Pod", "v1", "pods", namespaced=True),
        ApiResource("Event", "v1", "events", namespaced=True),
        ApiResource("ConfigMap", "v1", "configmaps", namespaced=True),
        ApiResource("Lease", "coordination.k8s.io/v1", "leases", namespaced=True),
        ApiResource("Deployment", "apps/v1", "deployments", namespaced=True),
        ApiResource("ReplicaSet", "apps/v1", "replicasets", namespaced=True),
        ApiResource("StatefulSet", "apps/v1", "statefulsets", namespaced=True),
        ApiResource("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", "leaderworkersets", namespaced=True),
        # offbus only reads these, to tell whose pods are a target's (offbus_steps.watch.owners)
        ApiResource(
            "DisaggregatedSet",
            "disaggregatedset.x-k8s.io/v1",
            "disaggregatedsets",
            namespaced=True,
            also=("disaggregatedset.x-k8s.io/v1alpha1",),
        ),
        ApiResource("PodClique", "grove.io/v1alpha1", "podcliques", namespaced=True),
        ApiResource("PodCliqueScalingGroup", "grove.io/v1alpha1", "podcliquescalinggroups", namespaced=True),
        ApiResource("PodCliqueSet", "grove.io/v1alpha1", "podcliquesets", namespaced=True),
        ApiResource("Service", "v1", "services", namespaced=True),
        ApiResource("PersistentVolumeClaim", "v1", "persistentvolumeclaims", namespaced=True),
        ApiResource("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets", namespaced=True),
        ApiResource(
            "DynamoGraphDeployment",
            "nvidia.com/v1beta1",
            "dynamographdeployments",
            namespaced=True,
            also=("nvidia.com/v1alpha1",),
        ),
        ApiResource(
            "DynamoComponentDeployment",
            "nvidia.com/v1beta1",
            "dynamocomponentdeployments",
            namespaced=True,
            also=("nvidia.com/v1alpha1",),
        ),
        ApiResource(
            "MutatingAdmissionPolicy",
            "admissionregistration.k8s.io/v1beta1",
            "mutatingadmissionpolicies",
            namespaced=False,
            also=("admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1alpha1"),
        ),
        ApiResource(
            "MutatingAdmissionPolicyBinding",
            "admissionregistration.k8s.io/v1beta1",
            "mutatingadmissionpolicybindings",
            namespaced=False,
            also=("admissionregistration.k8s.io/v1", "admissionregistration.k8s.io/v1alpha1"),
        ),
        ApiResource(
            "MutatingWebhookConfiguration",
            "admissionregistration.k8s.io/v1",
            "mutatingwebhookconfigurations",
            namespaced=False,
        ),
        ApiResource("RebootNode", "janitor.dgxc.nvidia.com/v1alpha1", "rebootnodes", namespaced=False),
        # offbus only watches it, where it is served
        ApiResource("TerminateNode", "janitor.dgxc.nvidia.com/v1alpha1", "terminatenodes", namespaced=False),
        ApiResource("GPUReset", "janitor.dgxc.nvidia.com/v1alpha1", "gpuresets", namespaced=False),
        ApiResource(
            "ValidationRequest", "nvsentinel.nvidia.com/v1alpha1", "validationrequests", namespaced=False
        ),
    )
}
"""The kinds that offbus uses; adapters refuse others with `Invalid`."""
