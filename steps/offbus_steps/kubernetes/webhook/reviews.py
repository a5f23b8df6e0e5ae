"""What the webhook answers: an AdmissionReview in, an AdmissionReview out. Pure.

It always allows, and changes nothing but what offbus_steps.workloads.shim_pod changes: which pods it is asked about
is the configuration's matter. What it cannot read is `Invalid`, and the API server, told to ignore failures, goes on
without.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from offbus_steps.port import Invalid, Object
from offbus_steps.workloads.shim_pod import Loading, needs_shim

__all__ = ["reviewed"]

VERSION = "admission.k8s.io/v1"


def reviewed(body: bytes, images: Mapping[str, str]) -> Object:
    """The answer to one review. Raises Invalid."""
    request = _request(body)
    response: dict[str, Any] = {"uid": request["uid"], "allowed": True}
    try:
        patch = _patch(request["object"], Loading(images=images))
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise Invalid(f"the review holds no pod that can be read: {err!r}") from err
    if patch:
        response |= {"patchType": "JSONPatch", "patch": b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}


def _request(body: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(body)["request"]
        if request["operation"] != "CREATE" or request["kind"]["kind"] != "Pod" or not request["uid"]:
            raise Invalid("only pods that are created are reviewed")
    except (ValueError, KeyError, TypeError) as err:
        raise Invalid("the body is no AdmissionReview of version v1") from err
    found: Mapping[str, Any] = request
    return found


def _patch(pod: Object, loading: Loading) -> list[dict[str, Any]]:
    """JSON patch (RFC 6902): the containers that change, each whole, and the volumes."""
    if not needs_shim(pod["spec"]):
        return []
    before, after = pod["spec"], loading.loaded(pod)["spec"]
    both = enumerate(zip(before["containers"], after["containers"], strict=True))
    changed = [
        {"op": "replace", "path": f"/spec/containers/{number}", "value": new}
        for number, (old, new) in both
        if new != old
    ]
    return [*changed, {"op": "add", "path": "/spec/volumes", "value": after["volumes"]}]
