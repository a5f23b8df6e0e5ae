"""The kinds of the objects by which a cluster's admission loads the shim into pods."""

__all__ = ["BINDING", "POLICY", "WEBHOOK"]

POLICY = "MutatingAdmissionPolicy"
BINDING = "MutatingAdmissionPolicyBinding"
WEBHOOK = "MutatingWebhookConfiguration"
