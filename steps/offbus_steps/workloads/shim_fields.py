"""What a workload needs to load the shim: computed as fields, so that it can be undone exactly.

Environment, volumes and mounts of `shim_mounts`. An existing LD_PRELOAD is chained behind ours (`preload_chain`), never
replaced; one that cannot be read is refused. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from offbus.errors import StepError
from offbus_steps.port import Object
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.base import Template, Workload
from offbus_steps.workloads.fields import MISSING, Field, Segment, plan, read
from offbus_steps.workloads.preload_chain import chained
from offbus_steps.workloads.shim_mounts import (
    FOLDER,
    LIBRARY,
    LOCAL,
    MOUNTS,
    PRELOAD,
    VOLUMES,
    in_local,
    preload,
    variables,
)

__all__ = ["is_loaded_with", "is_prepared", "is_shim_field", "loads_shim", "preload_fields"]

ENV_LISTS = ("env", "envs")
"""Lists of environment variables: of a container, and of a service of a graph."""


def preload_fields(
    workload: Workload,
    running: Iterable[Object],
    host_path: Callable[[str, str], str],
    images: Mapping[str, str] | None = None,
) -> list[Field]:
    """Every field to set, for all of the workload's containers that request GPUs. Raises StepError.

    `images`: the LD_PRELOAD from their images, by the containers' names in the pods.
    """
    templates = workload.gpu_templates()
    if not templates:
        raise gpus.refusal(
            workload.ref, (name for one in workload.pod_specs for name in gpus.other_gpus(one))
        )
    found = list(running)
    fields = (field for one in templates for field in _fields(workload, one, found, host_path, images or {}))
    return list({field.path: field for field in fields}.values())  # containers of one pod share its volume


def is_loaded_with(container: Mapping[str, Any]) -> bool:
    """Whether a container's environment loads the shim."""
    return LIBRARY in (pods.env_value(container, PRELOAD) or "")


def loads_shim(spec: Mapping[str, Any]) -> bool:
    """Whether a PodSpec has containers with GPUs, and the environment of each of them loads the shim."""
    loaded = [is_loaded_with(one) for _, one in gpus.gpu_containers(spec)]
    return bool(loaded) and all(loaded)


def is_prepared(workload: Workload) -> bool:
    """Whether the spec loads the shim."""
    entries = (read(workload.obj, (*one.env, ("name", PRELOAD))) for one in workload.gpu_templates())
    return any(LIBRARY in str(one.get("value") or "") for one in entries if one is not MISSING)


def is_shim_field(field: Field) -> bool:
    """Whether `preload_fields` can have made a field: a record of an undo is not trusted.

    That is: one entry of a list below `spec`, by its merge key; exactly the value that is set there; nothing was there
    before, but for LD_PRELOAD, whose former value is part of the chain (so a record cannot preload anything else).
    """
    if len(field.path) < 3 or field.path[0] != "spec" or not 0 <= field.created <= len(field.path):
        return False
    entry = (field.path[-2], field.path[-1])
    if entry[1] == ("name", PRELOAD):
        return entry[0] in ENV_LISTS and _is_chain(field)
    return (entry, field.intended) in _values() and not field.existed and field.before is None


def _is_chain(field: Field) -> bool:
    """Whether LD_PRELOAD was set to our library, with what was there before behind it."""
    intended, before = field.intended, field.before if field.existed else {"name": PRELOAD, "value": ""}
    plain = all(
        isinstance(one, Mapping) and one.keys() <= {"name", "value"} and one.get("name") == PRELOAD
        for one in (intended, before)
    )
    if not plain or (not field.existed and field.before is not None):
        return False
    chain, former = (re.split(r"[:\s]+", str(one.get("value") or "")) for one in (intended, before))
    return chain[0] in (LIBRARY, LOCAL + LIBRARY) and set(former) - {""} <= set(chain[1:])


def _values() -> Iterator[tuple[tuple[Segment, Segment], Any]]:
    """List and entry, and what may be set there; LD_PRELOAD apart. What 0.1.0 set is undone, too."""
    former = {"name": "offbus", "hostPath": {"path": FOLDER, "type": "Directory"}}
    for one in (*VOLUMES, former):
        yield ("volumes", ("name", one["name"])), one
    for one in (*MOUNTS, {"name": "offbus", "mountPath": FOLDER}):
        yield ("volumeMounts", ("mountPath", one["mountPath"])), one
    for found in (variables(lambda path, _: path), variables(in_local)):
        for one, env in product(found, ENV_LISTS):
            yield (env, ("name", one["name"])), one
    for prefix, env in product(("", LOCAL), ENV_LISTS):
        page = {"name": "OFFBUS_PAGE_DIR", "value": prefix + FOLDER}
        yield (env, ("name", page["name"])), page


def _fields(
    workload: Workload,
    template: Template,
    running: list[Object],
    host_path: Callable[[str, str], str],
    images: Mapping[str, str],
) -> list[Field]:
    own = chained(workload, template, running) or _of_image(template, running, images)
    wanted: list[tuple[tuple[Any, ...], Any]] = [
        ((*template.env, ("name", one["name"])), one)
        for one in (preload(host_path, own), *variables(host_path))
    ]
    wanted += [((*template.volumes, ("name", one["name"])), one) for one in VOLUMES]
    wanted += [((*template.mounts, ("mountPath", one["mountPath"])), one) for one in MOUNTS]
    for path, _ in wanted[1:]:
        if read(workload.obj, path) is not MISSING:
            raise StepError(
                f"{workload.ref} is prepared already ({template.name})",
                hint="run `offbus recover` to undo an unfinished run",
            )
    return [plan(workload.obj, path, intended) for path, intended in wanted]


def _of_image(template: Template, running: list[Object], images: Mapping[str, str]) -> str:
    """The LD_PRELOAD that its container has from its image; "" for none.

    It is read from a process, which can rewrite its own environment: of another container's none is taken, as it would
    be loaded into pods of the workload that are not its own. An operator may run the container under another name;
    then the only one that requests GPUs in this template's pods is the same.
    """
    own = [pod for pod in running if template.is_of(pod["metadata"].get("labels") or {})]
    names = {one["name"] for pod in own for _, one in gpus.gpu_containers(pod["spec"])}
    if template.container in names or len(names) != 1:
        return images.get(template.container, "")
    return images.get(names.pop(), "")
