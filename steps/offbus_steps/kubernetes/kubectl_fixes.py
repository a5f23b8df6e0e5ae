"""The command by which a person makes a difference in a cluster's fingerprint as it was before. Pure.

Only for what a drill or a responder sets, whose former value is known; for the rest there is none, and `offbus recover`
is what to run. Names and values come from the cluster, or from a run's folder, where others may write them: a name is
one that Kubernetes allows, so never an option, and each is one word of the shell. What was there before the run is
never deleted.
"""

import re
import shlex
from typing import Any

from offbus_steps.nvsentinel.circuit_breaker import reset_of
from offbus_steps.object_names import is_node, unnamed
from offbus_steps.port import Ref
from offbus_steps.residue.external_changes import BREAKER, CORDON, LEFT_BY_RUN, META
from offbus_steps.workloads.manifest import ALLOWED_KINDS

__all__ = ["kubectl_fix"]

MARK = re.compile(
    rf"Node/(?P<node>[^ /]+) {re.escape(META)}(?P<what>label|annotation)s\[(?P<key>[A-Za-z0-9][A-Za-z0-9./_-]*)\]"
)
VERBS = {"label": "label", "annotation": "annotate"}
OBJECT = re.compile(r"(?P<kind>[A-Za-z]+)/(?:(?P<namespace>[^ /]+)/)?(?P<name>[^ /]+) (?P<what>.+)")


def kubectl_fix(item: str, before: Any) -> str | None:
    """The command for an item of `offbus_steps.residue.fingerprint`; `before` is its former value, None for none."""
    if mark := MARK.fullmatch(item):
        if str(before).startswith("sha256:") or not is_node(mark["node"]):
            return None  # somebody else's value, which is not known
        change = f"{mark['key']}-" if before is None else f"{mark['key']}={before}"
        more = ["--overwrite"] if before is not None else []
        return shlex.join(["kubectl", VERBS[mark["what"]], "node", mark["node"], change, *more])
    found = OBJECT.fullmatch(item)
    if found is None:
        return None
    kind, name, what = found["kind"], found["name"], found["what"]
    if unnamed(("Node", *ALLOWED_KINDS), kind, name, found["namespace"] or ""):
        return None
    space = ["-n", found["namespace"]] if found["namespace"] else []
    if kind == "Node" and what == CORDON:
        return shlex.join(["kubectl", "cordon" if before else "uncordon", name])
    if what == LEFT_BY_RUN and before is None:
        return shlex.join(["kubectl", *space, "delete", kind, name])
    if what == BREAKER and kind == "ConfigMap":
        return f"find out which nodes tripped it, then: {reset_of(Ref(kind, name, found['namespace'] or ''))}"
    return None
