"""What a run has promised to undo, kept in the cluster: enough for somebody else to finish it.

One ConfigMap `offbus-run-RUN` beside the run's Lease. It holds how the environment is reopened and every undo record
of the journal, each acknowledged by the API server before its effect begins; undo records hold no secrets (design.md,
section 4). Records are written one after the other, each conditional on the version written last, so that a former
owner of the run cannot add to it. A record that cannot be kept is a StepError: its effect must not begin.
"""

import json
from collections.abc import Mapping
from typing import Any

import anyio

from offbus.errors import StepError
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.port import Conflict, NotFound, Object, PortError, Ref

__all__ = ["UndoRecords", "records_name"]

STATE_KEY = "environment"
UNDO_KEY = "undo-{number:05d}"


def records_name(run: str) -> str:
    """The name of a run's ConfigMap."""
    return f"offbus-run-{run}"


class UndoRecords:
    """The records of one run, as its present owner writes them."""

    def __init__(self, objects: KubernetesObjects, namespace: str, run: str) -> None:
        self._objects = objects
        self._ref = Ref("ConfigMap", records_name(run), namespace)
        self._run = run
        self._version = ""
        self._one_at_a_time = anyio.Lock()

    async def begin(self, state: Mapping[str, Any]) -> None:
        """Make the object, or take over the one that is there. Raises PortError."""
        try:
            made = await self._objects.create(self._object(state))
        except Conflict:
            made = await self._objects.patch(self._ref, {"data": {STATE_KEY: _compact(state)}})
        self._version = made["metadata"]["resourceVersion"]

    async def acknowledge(self, record: Mapping[str, Any]) -> None:
        """Keep one undo record: the data of its `undo_recorded` event. Raises StepError; then change nothing."""
        key = UNDO_KEY.format(number=record["undo"])
        async with self._one_at_a_time:
            patch = {"metadata": {"resourceVersion": self._version}, "data": {key: _compact(record)}}
            try:
                made = await self._objects.patch(self._ref, patch)
            except PortError as err:
                made = await self._settle(key, record, err)
            self._version = made["metadata"]["resourceVersion"]

    async def read(self) -> list[dict[str, Any]]:
        """All undo records, in order. Raises NotFound."""
        data = (await self._objects.get(self._ref)).get("data") or {}
        return [json.loads(data[key]) for key in sorted(data) if key.startswith("undo-")]

    async def end(self) -> None:
        """Nothing is left to undo: remove the object."""
        try:
            await self._objects.delete(self._ref)
        except NotFound:
            return  # a recovery was faster

    async def _settle(self, key: str, record: Mapping[str, Any], err: PortError) -> Object:
        """The write failed, or its answer was lost: only what can be read back counts."""
        try:
            found = await self._objects.get(self._ref)
        except PortError as again:
            raise self._refusal(record, again) from err
        if (found.get("data") or {}).get(key) != _compact(record):
            raise self._refusal(record, err) from err
        return found

    def _refusal(self, record: Mapping[str, Any], err: PortError) -> StepError:
        what = record.get("describe", "an undo")
        return StepError(
            f"{what!r} could not be recorded in the cluster, so nothing is changed: {err.message}",
            hint=err.hint,
        )

    def _object(self, state: Mapping[str, Any]) -> Object:
        labels = {"app.kubernetes.io/managed-by": "offbus", "offbus.dev/recorded-run": self._run}
        meta = {"name": self._ref.name, "namespace": self._ref.namespace, "labels": labels}
        data = {STATE_KEY: _compact(state)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
