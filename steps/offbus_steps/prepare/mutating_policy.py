"""The admission policy that loads the shim into pods as they are created: their workload's spec is not changed.

A MutatingAdmissionPolicy and its binding (admissionregistration.k8s.io), with a fixed name and the run's label. It
selects the pods of one target in one namespace, and their containers and native sidecars that request GPUs, and adds
what offbus_steps.workloads.shim_fields adds by patch: environment, mounts, volumes. An existing LD_PRELOAD is chained
behind ours; applied twice it changes nothing. `failurePolicy` is Ignore: a drill's policy must never keep a pod from
starting. A cluster that serves the kind with its feature gate off accepts the objects and ignores them, so a dry run
has to show the effect before anything relies on it. Pure.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from offbus_steps.port import Object
from offbus_steps.prepare.admission_kinds import BINDING, POLICY
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.workloads.controllers import MAKERS, NAMES
from offbus_steps.workloads.gpus import WHOLE_GPUS
from offbus_steps.workloads.shim_mounts import LIBRARY, MOUNTS, PRELOAD, VOLUMES, variables
from offbus_steps.workloads.target import Target

__all__ = ["RULE", "binding_of", "conditions_of", "meta_of", "policy_of", "selectors_of"]

GPU_CONTAINER = (
    "has(c.resources) && has(c.resources.limits) && "
    f"{json.dumps(WHOLE_GPUS)}.exists(r, r in c.resources.limits && c.resources.limits[r] != '0')"
)
SIDECAR = f'has(c.restartPolicy) && c.restartPolicy == "Always" && {GPU_CONTAINER}'
INITS = "has(object.spec.initContainers)"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
CONDITIONS = [
    {
        "name": "not-loaded-yet",
        "expression": "!has(object.spec.volumes) || "
        f"!object.spec.volumes.exists(v, v.name in {json.dumps([one['name'] for one in VOLUMES])})",
    },
    {
        "name": "asks-for-gpus",
        "expression": f"object.spec.containers.exists(c, {GPU_CONTAINER}) || "
        f"({INITS} && object.spec.initContainers.exists(c, {SIDECAR}))",
    },
]
"""Which pods are changed: offbus_steps.workloads.shim_pod.needs_shim in CEL."""


def conditions_of(target: Target) -> list[dict[str, str]]:
    """The conditions of both methods: the pod was made by a controller of the target's, and needs the shim.

    Labels are anybody's to set. A controller is known by its kind and, but for graphs, its name; not by its uid, which
    a rollout or a new leader changes. The garbage collector deletes a pod whose controller is not there; one that is
    there is the target's, or of somebody who may create controllers (offbus_steps.watch.owners).
    """
    named = NAMES.get(target.kind, "").format(re.escape(target.name))
    called = f" && o.name.matches({json.dumps(f'^{named}$')})" if named else ""
    made = f"has(o.controller) && o.controller && o.kind in {json.dumps(sorted(MAKERS[target.kind]))}{called}"
    owners = "object.metadata.ownerReferences"
    return [
        {"name": "made-by-the-target", "expression": f"has({owners}) && {owners}.exists(o, {made})"},
        *CONDITIONS,
    ]


OWN = (
    f'has(c.env) && c.env.exists(e, e.name == "{PRELOAD}" && has(e.value) && e.value != "") '
    f'? c.env.filter(e, e.name == "{PRELOAD}")[0].value : '
    '(c.name in variables.images ? variables.images[c.name] : "")'
)
"""The LD_PRELOAD that the container would have: from its spec, else from its image."""


def _literal(kind: str, value: Any) -> str:
    """A value of JSON as CEL: objects get the type of their field, as ApplyConfiguration wants it."""
    if isinstance(value, Mapping):
        fields = ", ".join(f"{key}: {_literal(kind + '.' + key, one)}" for key, one in value.items())
        return f"{kind}{{{fields}}}"
    return json.dumps(value)  # JSON's escapes are CEL's, too


def _changed(host_path: Callable[[str, str], str]) -> str:
    """The shim's volumes, and the changed containers of both fields."""
    volumes = ", ".join(_literal("Object.spec.volumes", one) for one in VOLUMES)
    changed = {}
    for field, which in (("initContainers", SIDECAR), ("containers", GPU_CONTAINER)):
        made = f"Object.spec.{field}"
        mounts = ", ".join(_literal(f"{made}.volumeMounts", one) for one in MOUNTS)
        plain = [one for one in variables(host_path) if "value" in one]
        env = ",\n      ".join(_literal(f"{made}.env", one) for one in plain)
        changed[field] = f"""object.spec.{field}.filter(c, {which}).map(c, {made}{{
    name: c.name,
    volumeMounts: [{mounts}],
    env: [
      {made}.env{{name: "{PRELOAD}", value: variables.library + (({OWN}) == "" ? "" : ":" + ({OWN}))}},
      {env}
    ]}})"""
    return f"""
Object{{spec: Object.spec{{
  volumes: [{volumes}],
  ?initContainers: {INITS} ? optional.of({changed["initContainers"]}) : optional.none(),
  containers: {changed["containers"]}
}}}}
""".strip()


def _references(host_path: Callable[[str, str], str]) -> str:
    """A JSON patch with the variables that are no plain values: an apply configuration may not set atomic fields.

    A JSON patch names containers by their number, and CEL counts none: each that there may be is written out.
    """
    added = []
    for field, which, most in (("containers", GPU_CONTAINER, 24), ("initContainers", SIDECAR, 8)):
        for number in range(most):
            here = f"object.spec.{field}"
            named = f"exists(c, c.name == {here}[{number}].name)"
            holds = f"has({here}) && size({here}) > {number} && {here}.filter(c, {which}).{named}"
            added += [
                f"({holds} ? [JSONPatch{{op: 'add', path: '/spec/{field}/{number}/env/-', "
                f"value: {_literal(f'Object.spec.{field}.env', one)}}}] : [])"
                for one in variables(host_path)
                if "valueFrom" in one
            ]
    return " +\n".join(added)


def policy_of(
    name: str, run: str, target: Target, images: Mapping[str, str], host_path: Callable[[str, str], str]
) -> Object:
    """The policy for one target. `images`: the LD_PRELOAD from their images, by the containers' names."""
    literal = json.dumps  # JSON's escapes are CEL's, too
    entries = {"": "", **images}.items()  # a CEL map that is never empty, so that its type is known
    spec: dict[str, Any] = {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {**selectors_of(target), "resourceRules": [RULE]},
        "matchConditions": conditions_of(target),
        "variables": [
            {"name": "library", "expression": literal(host_path(LIBRARY, ""))},
            {
                "name": "images",
                "expression": "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in entries) + "}",
            },
        ],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": _changed(host_path)}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": _references(host_path)}},
        ],
    }
    return {"kind": POLICY, "metadata": meta_of(name, run), "spec": spec}


def binding_of(name: str, run: str) -> Object:
    """The binding that puts the policy of that name into effect."""
    return {"kind": BINDING, "metadata": meta_of(name, run), "spec": {"policyName": name}}


def selectors_of(target: Target) -> dict[str, Any]:
    """Which pods are selected: those of the target, in its namespace."""
    return {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": target.namespace}},
        "objectSelector": target.label_selector,
    }


def meta_of(name: str, run: str) -> dict[str, Any]:
    """A fixed name, and the run's label: its undo identifies it by both."""
    return {"name": name, "labels": {RUN_LABEL: run}}
