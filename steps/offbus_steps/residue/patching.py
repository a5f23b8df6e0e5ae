"""Writes fields into live objects: read, change, patch conditional on the version, and retry on conflict."""

from collections.abc import Callable, Sequence
from typing import Any

from offbus.errors import StepError, StepFailed
from offbus_steps.port import Conflict, Object, Objects, Ref
from offbus_steps.residue.shown_values import split_spec
from offbus_steps.workloads.fields import Field, apply, merge_patch, plan

__all__ = ["MORE_CHANGED", "change", "patch_fields", "rest_of"]

MORE_CHANGED = "more of {ref} has changed than the patch sets"
TRIES = 8
"""Conflicts in a row after which it gives up."""

Change = Callable[[Object], dict[str, Any]]


async def change(objects: Objects, ref: Ref, wanted: Change, *, status: bool = False) -> Object:
    """Change an object to `wanted` (a changed copy of it), whatever else changes meanwhile. Raises NotFound.

    Nothing is sent when `wanted` equals what is there.
    """
    refused = ""
    for _ in range(TRIES):
        now = await objects.get(ref)
        patch = merge_patch(now, wanted(now))
        if not patch:
            return now
        patch.setdefault("metadata", {})["resourceVersion"] = now["metadata"]["resourceVersion"]
        try:
            return await objects.patch(ref, patch, status=status)
        except Conflict as err:
            refused = err.message
    raise StepError(
        f"{ref} could not be patched in {TRIES} tries: {refused}",
        hint="check what else writes to it, and which admission webhook or policy refuses it",
    )


async def patch_fields(objects: Objects, planned: Object, fields: Sequence[Field]) -> Object:
    """Set the fields of a workload, if each is still as when it was planned. Raises StepError when one is not,
    StepFailed when more than the fields changed."""
    ref = Ref.of(planned)
    rest: list[str] = []

    def wanted(now: Object) -> dict[str, Any]:
        if any(plan(now, field.path, field.intended) != field for field in fields):
            raise StepError(f"{ref} has just been changed by somebody else", hint="run again")
        rest[:] = [rest_of(now)]
        return apply(now, fields)

    patched = await change(objects, ref, wanted)
    if rest_of(patched) != rest[0]:
        raise StepFailed(
            MORE_CHANGED.format(ref=ref), hint="check which admission webhooks or policies change it"
        )
    return patched


def rest_of(workload: Object) -> str:
    """A digest of everything in a workload's spec that no drill sets."""
    return split_spec(workload.get("spec"))[1]
