"""The admission webhook as the cluster sees it: its configuration, and what its URL path contains.

The second admission method, for clusters that do not serve MutatingAdmissionPolicy as offbus needs it. A
MutatingWebhookConfiguration with a fixed name and the run's label sends the target's new pods to our own server
(deploy/webhook), which answers with what the policy would have done. It selects as the policy does: one namespace, the
target's labels and controllers, pods that request GPUs. `failurePolicy` is Ignore and the timeout is short: a webhook
that is down must never keep a pod from starting.

The server knows nothing of runs: all that it needs beside the pod is in the path, so it holds no state, reads no
object, and its answer depends only on the request. The API server wants path segments to be DNS labels, hence the
hexadecimal digits. Pure.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from offbus_steps.port import Invalid, Object
from offbus_steps.prepare.admission_kinds import WEBHOOK
from offbus_steps.prepare.mutating_policy import RULE, conditions_of, meta_of, selectors_of
from offbus_steps.workloads.target import Target

__all__ = ["CERTIFICATE", "SERVICE", "configuration_of", "images_of", "path_of"]

SERVICE = "offbus-webhook"
"""Its Service, its Deployment, and the ConfigMap in which it publishes its certificate."""
CERTIFICATE = "certificate.pem"
"""The key in that ConfigMap."""

ROOT = "/load"
SEGMENT = 60
"""Characters of a path segment; a DNS label has 63 at most."""
LONGEST = 8192
"""Characters of a path."""
ANSWERS_WITHIN_S = 5


def configuration_of(
    name: str, run: str, target: Target, images: Mapping[str, str], namespace: str, certificate: str
) -> Object:
    """For one target. `certificate`: that of the server, as PEM; nothing else is trusted. Raises Invalid."""
    from base64 import b64encode

    service = {"name": SERVICE, "namespace": namespace, "path": path_of(images), "port": 443}
    webhook: dict[str, Any] = {
        "name": "load.webhook.offbus",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "timeoutSeconds": ANSWERS_WITHIN_S,
        "reinvocationPolicy": "IfNeeded",
        "clientConfig": {"service": service, "caBundle": b64encode(certificate.encode()).decode()},
        **selectors_of(target),
        "matchConditions": conditions_of(target),
        "rules": [RULE],
    }
    return {"kind": WEBHOOK, "metadata": meta_of(name, run), "webhooks": [webhook]}


def path_of(images: Mapping[str, str]) -> str:
    """The path that contains the LD_PRELOADs of images. Raises Invalid when it would be too long."""
    digits = json.dumps(dict(sorted(images.items()))).encode().hex() if images else ""
    path = "/".join([ROOT, *re.findall(f".{{1,{SEGMENT}}}", digits)])
    if len(path) > LONGEST:
        raise Invalid("the images set more LD_PRELOADs than fit into the webhook's path")
    return path


def images_of(path: str) -> dict[str, str]:
    """The reverse of `path_of`. Raises Invalid for any other path."""
    if not re.fullmatch(f"{ROOT}(/[0-9a-f]+)*", path) or len(path) > LONGEST:
        raise Invalid("no such path")
    digits = path.removeprefix(ROOT).replace("/", "")
    try:
        found = json.loads(bytes.fromhex(digits)) if digits else {}
    except (ValueError, RecursionError) as err:
        raise Invalid("the path cannot be decoded") from err
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise Invalid("the path names no images")
    return found
