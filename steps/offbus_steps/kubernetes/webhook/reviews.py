"""The webhook's answers: AdmissionReviews; which pod gets the shim, `workloads/shim_pod` decides. Pure.

It always allows, and changes only what offbus_steps.workloads.shim_pod changes; the configuration decides which pods
are reviewed. What it cannot read is `Invalid`; the API server, told to ignore failures, then admits the pod unchanged.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from offbus.errors import StepError
from offbus.json_values import has_more_values
from offbus_steps.port import Invalid, Object
from offbus_steps.workloads.shim_pod import Loading, needs_shim

__all__ = ["MOST_VALUES", "reviewed"]

VERSION = "admission.k8s.io/v1"
MOST_VALUES = 200_000
"""Values of a review: each takes some 60 bytes of memory, however few it has in JSON; a pod has some hundreds."""


def reviewed(body: bytes, images: Mapping[str, str]) -> Object:
    """The answer to one review. Raises Invalid."""
    if has_more_values(body, MOST_VALUES):
        raise Invalid(f"the review has more than {MOST_VALUES} values")
    try:
        request = json.loads(body)["request"]
        if request["operation"] != "CREATE" or request["kind"]["kind"] != "Pod" or not request["uid"]:
            raise Invalid("only the creation of pods is reviewed")
    except (ValueError, RecursionError, KeyError, TypeError) as err:
        raise Invalid("the body is not an AdmissionReview of version v1") from err
    response: dict[str, Any] = {"uid": request["uid"], "allowed": True}
    try:
        patch = _patch(request["object"], Loading(images=images))
    except (KeyError, TypeError, ValueError, AttributeError, StepError) as err:
        raise Invalid(f"the review holds no valid pod: {err!r}") from err
    if patch:
        response |= {"patchType": "JSONPatch", "patch": b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}


def _patch(pod: Object, loading: Loading) -> list[dict[str, Any]]:
    """JSON patch (RFC 6902): each changed container as a whole, and the volumes."""
    if not needs_shim(pod["spec"]):
        return []
    before, after = pod["spec"], loading.loaded(pod)["spec"]
    changed = [
        {"op": "replace", "path": f"/spec/{field}/{number}", "value": new}
        for field in ("initContainers", "containers")
        for number, (old, new) in enumerate(zip(before.get(field) or (), after.get(field) or (), strict=True))
        if new != old
    ]
    return [*changed, {"op": "add", "path": "/spec/volumes", "value": after["volumes"]}]
