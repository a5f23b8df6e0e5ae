"""The LD_PRELOAD that a container of a target has already, which is chained behind the shim's.

It is written into the workload's spec, for all of its pods. What the spec has itself is kept as it is. What only its
running pods have (their operator adds it), or their image, has to be the same in all of them, and a list of plain
paths: `$(NAME)` would be expanded there (Kubernetes, EnvVar.value), and a name without a slash is looked for in folders
(ld.so(8)). A running pod without it differs from one with it. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.port import Object
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.base import Template, Workload
from offbus_steps.workloads.fields import MISSING, read
from offbus_steps.workloads.shim_mounts import LIBRARY, PRELOAD

__all__ = ["PLAIN_PATHS", "chained", "is_plain"]

LONGEST = 1024
"""Characters of a value that is chained."""
PATH = re.compile(r"/[A-Za-z0-9._/+-]+")
BETWEEN = re.compile(r"[: ]+")
"""What separates the paths of LD_PRELOAD (ld.so(8))."""
PLAIN_PATHS = (
    "it may hold absolute paths of letters, digits and . _ / + -, separated by colons or spaces, "
    f"and {LONGEST} characters"
)


def is_plain(value: str, known: str = "") -> bool:
    """Whether a value is a list of plain paths, and of what is in `known`."""
    parts = set(filter(None, BETWEEN.split(value))) - {*BETWEEN.split(known)}
    return len(value) <= LONGEST and all(map(PATH.fullmatch, parts))


def chained(workload: Workload, template: Template, running: Iterable[Object]) -> str:
    """The LD_PRELOAD that the template's containers have now; "" for none. Raises StepError.

    `running`: pods of the workload, by its own controllers. They are authoritative: they have what their operator
    chained. Without any, and where they have none, the spec is used.
    """
    lists = (template.env, *template.inherited)  # the container's own entry overrides its graph's
    entries = (read(workload.obj, (*env, ("name", PRELOAD))) for env in lists)
    written = next((_value(workload, template, one) for one in entries if one is not MISSING), "")
    of_it = (pod for pod in running if template.is_of(pod["metadata"].get("labels") or {}))
    values = {value for pod in of_it for value in _running_values(workload, template, pod)}
    if len(values) > 1:
        told = ", ".join(repr(one) if one else "none" for one in sorted(values))
        raise StepError(
            f"the pods of {workload.ref} have different LD_PRELOADs in {template.name}: {told}",
            hint="wait until its rollout is complete, or set LD_PRELOAD in the container's env, as a plain value",
        )
    value = (values.pop() if values else "") or written
    if LIBRARY in value:
        raise StepError(
            f"{workload.ref} loads the shim already", hint="run `offbus recover` to undo an unfinished run"
        )
    if value != written and not is_plain(value, written):
        raise StepError(
            f"the pods of {workload.ref} have LD_PRELOAD={value[:80]!r}{'…' if len(value) > 80 else ''} in "
            f"{template.name}, which its spec has not, and which is not chained: {PLAIN_PATHS}",
            hint="set it in the container's env, as a plain value",
        )
    return value


def _running_values(workload: Workload, template: Template, pod: Object) -> set[str]:
    """Of the template's container, each time that it runs; "" where it has none."""
    every = list(pods.containers(pod["spec"]))
    # an operator may run the template's container several times over, under names of its own
    own = [one for one in every if one["name"] == template.container]
    own = own or [one for _, one in gpus.gpu_containers(pod["spec"])]
    found = {_of_container(workload, template, one) for one in own or every}
    return found if own else found - {""} or found  # of any of its containers: those beside it need have none


def _of_container(workload: Workload, template: Template, container: Mapping[str, Any]) -> str:
    entries = (one for one in container.get("env") or () if one["name"] == PRELOAD)
    return next((_value(workload, template, one) for one in entries), "")


def _value(workload: Workload, template: Template, entry: Mapping[str, Any]) -> str:
    if entry.get("value") is None and "valueFrom" in entry:
        raise StepError(
            f"{workload.ref} sets LD_PRELOAD of {template.name} by valueFrom: it cannot be chained",
            hint="set it as a plain value",
        )
    return str(entry.get("value") or "")
