"""The kinds and the name of the objects by which a cluster's admission loads the shim into pods."""

__all__ = ["BINDING", "POLICY", "WEBHOOK", "admission_name"]

POLICY = "MutatingAdmissionPolicy"
BINDING = "MutatingAdmissionPolicyBinding"
WEBHOOK = "MutatingWebhookConfiguration"


def admission_name(run: str, step: str) -> str:
    """What all of them are called that a step creates; for "" what all of a run's begin with."""
    return f"offbus-{run}-{step.replace('_', '-')}"
