"""Looks at a workload that is there already, for `offbus init --from`; nothing is changed, and nothing is copied of it.

What is taken of it: its kind, name and namespace, and how many replicas hold GPUs. What its containers are given
(images, commands, variables and what they hold) is not even passed on, so it cannot be written anywhere.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio

from offbus.abilities import ability
from offbus.environment import EnvironmentType
from offbus.errors import StepError, UsageError, ungrouped
from offbus.findings.suggest import did_you_mean
from offbus_steps.port import NotFound, Object, Objects, Observable, PortError, Ref
from offbus_steps.workloads import gpus
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["Existing", "existing_of", "look_at"]

_NAMED = 8
"""Names that a message lists."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A target that is there already."""

    ref: Ref
    port: int | None
    """Where it serves HTTP, when it does not declare that."""
    replicas: int
    """Pods that hold GPUs; where several parts have such pods, of the part that has the fewest."""

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.ref.namespace


def look_at(kind: EnvironmentType, options: Any, ref: Ref, port: int | None) -> Existing:
    """Look at it. Raises UsageError when it is not there or cannot be a target, CouldNotRun, PortError."""
    opener = ability(kind.opener, Observable)
    if opener is None:
        raise UsageError(f"in the environment {kind.name} nothing can be looked at without a run")
    return existing_of(anyio.run(partial(_read, opener, options, ref)), ref, port)


def existing_of(obj: Object, ref: Ref, port: int | None) -> Existing:
    """From the object. Raises UsageError when it cannot be a target."""
    try:
        workload = workload_of(obj)
        replicas = [part.replicas for part in workload.parts() if any(part.templates())]
        if not replicas:
            others = [name for spec in workload.pod_specs for name in gpus.other_gpus(spec)]
            raise gpus.refusal(ref, others)
    except StepError as err:
        raise UsageError(err.message, hint=err.hint) from err
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise UsageError(f"{ref} is not a valid {ref.kind}: {type(err).__name__}: {err}") from err
    if port is None:
        try:
            workload.port  # noqa: B018  whether it declares one
        except StepError as err:
            raise UsageError(err.message, hint="say it: --port 8000") from err
    return Existing(ref, port, min(replicas))


async def _read(opener: Observable, options: Any, ref: Ref) -> Object:
    with ungrouped():
        async with opener.observed(options) as observed:
            objects = observed.port.objects
            try:
                return await objects.get(ref)
            except NotFound as err:
                raise UsageError(f"there is no {ref}", hint=await _instead(objects, ref)) from err


async def _instead(objects: Objects, ref: Ref) -> str:
    """What was probably meant, or what there is."""
    try:
        listed = (await objects.list(ref.kind, namespace=ref.namespace)).items
    except PortError:
        return "--namespace names another namespace, --context another cluster"
    names = sorted(str(one["metadata"]["name"]) for one in listed)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    shown = f"there: {', '.join(names[:_NAMED])}{more}" if names else f"none is in {ref.namespace}"
    return did_you_mean(ref.name, names, f"{shown}; --namespace names another namespace")
