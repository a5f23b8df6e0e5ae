"""The events that another process needs to finish a run (offbus.journal.recovery_events), stored in the cluster.

One ConfigMap `offbus-run-RUN` beside the run's Lease: the head, how the environment is opened, the owners of the run,
the fingerprint (compressed; left out when too large for a ConfigMap, and that is reported), and every undo record, each
acknowledged by the API server before its effect begins. Undo records hold no secrets (design.md, section 4).
They are written one after the other, each conditional on the version written last, so that a former owner of the run
cannot add to them. A record that cannot be stored is a StepError: its effect must not begin.

They are read in offbus's own namespace alone, where only the runner's Role may write them (deploy/README.md), and they
are hostile input all the same: events of another run, or of another environment, make them damaged.

A run's folder that this user's offbus did not open is more hostile still: whoever packed it needs no right in the
cluster. So what it says of undos is never stored here, where the next owner of the run, the reaper, would believe it,
and an undo of such a run is `proven` only if it was stored here before.

A journal without an undo that is stored here (a copy of a run's folder that was made too early) must not finish the
run: `begin` refuses it.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
from pydantic import ValidationError

from offbus.errors import CouldNotRun, StepError
from offbus.journal.bounds import MOST_VALUES
from offbus.journal.codec import DamagedLine, checked
from offbus.journal.events import Event
from offbus.journal.kinds import ADOPTED, FINGERPRINT, UNDO_RECORDED
from offbus.json_values import has_more_values, parsed
from offbus.undo import Undo
from offbus_steps.deletion import delete
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.port import Conflict, NotFound, Object, PortError, Ref

__all__ = ["RECORDS_LABEL", "RunRecords", "events_in", "records_name", "run_of_records"]

RECORDS_LABEL = "offbus.dev/recorded-run"
PACKED = "fingerprint"
FINGERPRINT_BYTES = 384 * 1024
"""Of the fingerprint, compressed: a ConfigMap holds 1 MiB, and the undo records must fit beside it."""
UNPACKED_BYTES = 16 << 20
"""Of the fingerprint, as it is read: the reaper has 512 MiB (deploy/base/reaper.yaml)."""


def records_name(run: str) -> str:
    """The name of a run's ConfigMap."""
    return f"offbus-run-{run}"


def run_of_records(records: Object) -> str:
    """The run that records belong to; "" for an object of another name, which some program of ours may write."""
    run = str((records["metadata"].get("labels") or {}).get(RECORDS_LABEL, ""))
    return run if records["metadata"]["name"] == records_name(run) else ""


def events_in(records: Object) -> list[Event]:
    """The stored events. Raises CouldNotRun when they cannot be read."""
    run, packed = run_of_records(records), records.get("binaryData") or {}
    try:
        if packed.keys() - {PACKED}:
            raise ValueError(f"only `{PACKED}` may be packed")
        texts = (records.get("data") or {}).values()
        events = [_of_run(run, checked(parsed(text))) for text in texts]
        if PACKED in packed:
            text = _unpacked(base64.b64decode(packed[PACKED], validate=True))
            events.append(_of_run(run, checked(parsed(text))))
    except (ValueError, RecursionError, zlib.error, DamagedLine) as err:
        raise CouldNotRun(
            f"the records {Ref.of({**records, 'kind': 'ConfigMap'})} are damaged: {err}"
        ) from err
    return events


def _of_run(run: str, event: Event) -> Event:
    if event["run"] != run:
        raise ValueError(f"one is of run {event['run']}")
    return event


def _unpacked(packed: bytes) -> bytes:
    """Of gzip, bounded: a small record can unpack to a thousand times its size, and be read into twenty times that."""
    unpacking = zlib.decompressobj(wbits=31)
    content = unpacking.decompress(packed, UNPACKED_BYTES + 1)
    if len(content) > UNPACKED_BYTES:
        raise ValueError(f"one unpacks to more than {UNPACKED_BYTES} bytes")
    if not unpacking.eof:
        raise ValueError("one is cut off")
    if has_more_values(content, MOST_VALUES):
        raise ValueError(f"one holds more than {MOST_VALUES} values")
    return content


class RunRecords:
    """The records of one run, as its current owner writes them."""

    def __init__(self, objects: KubernetesObjects, namespace: str, run: str) -> None:
        self._objects = objects
        self._ref = Ref("ConfigMap", records_name(run), namespace)
        self._run = run
        self._version = ""
        self._stored: Sequence[Any] | None = None
        """Undo records from before a recovery of somebody else's folder; None in a run that is ours: all count."""
        self._one_at_a_time = anyio.Lock()

    async def begin(self, events: Sequence[Event], *, ours: bool = True) -> None:
        """Create the object, or take over the one that is there. Raises PortError, CouldNotRun.

        `ours`: these events are not only a folder's that anybody may have written.
        """
        content = _merged(events)
        first = content if ours else {"data": _without_undos(content["data"])}
        self._stored = None if ours else ()
        labels = {"app.kubernetes.io/managed-by": "offbus", RECORDS_LABEL: self._run}
        meta = {"name": self._ref.name, "namespace": self._ref.namespace, "labels": labels}
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **first}
        try:
            made = await self._objects.create(wanted)
        except Conflict:
            found = await self._objects.get(self._ref)
            self._refuse_older(found, content)
            if not ours:
                self._stored = _undos_in(found)
                content = {"data": _owners_in(content["data"])}
            # Without the version, which another owner wrote. That one's next write is conditional on it, and fails.
            made = await self._objects.patch(self._ref, content)
        self._version = made["metadata"]["resourceVersion"]

    def proves(self, undo: Undo) -> bool:
        """Whether an undo was recorded by the run itself, as far as others than its folder say."""
        return self._stored is None or any(_is_record_of(one, undo) for one in self._stored)

    async def persist(self, event: Event) -> bool:
        """Store one more event. Returns whether it fitted (only a fingerprint may not). Raises StepError."""
        content = _content(event)
        if not content:
            return False
        # Each write is conditional on the one before: two at once would refuse each other.
        async with self._one_at_a_time:
            patch = {"metadata": {"resourceVersion": self._version}, **content}
            try:
                made = await self._objects.patch(self._ref, patch)
            except PortError as err:
                made = await self._resolve(event, content, err)
            self._version = made["metadata"]["resourceVersion"]
        return True

    async def read(self) -> list[Event]:
        """All events. Raises NotFound, CouldNotRun."""
        return events_in(await self._objects.get(self._ref))

    async def end(self) -> None:
        """Nothing remains to undo: remove the object."""
        try:
            found = await self._objects.get(self._ref)
        except NotFound:
            return  # a recovery has removed it already
        await delete(self._objects, self._ref, found["metadata"]["uid"])

    async def _resolve(self, event: Event, content: Mapping[str, Any], err: PortError) -> Object:
        """The write failed, or its answer was lost: only what can be read back counts."""
        try:
            found = await self._objects.get(self._ref)
        except PortError as again:
            raise _refusal(event, again) from err
        for field, wanted in content.items():
            if not wanted.items() <= (found.get(field) or {}).items():
                raise _refusal(event, err) from err
        return found

    def _refuse_older(self, found: Object, content: Mapping[str, Any]) -> None:
        lacking = sorted(
            key for key in (found.get("data") or {}) if key.startswith("undo-") and key not in content["data"]
        )
        if lacking:
            raise CouldNotRun(
                f"the journal here is older than the records in the cluster: it lacks {', '.join(lacking)}",
                hint=f"finish the run from the cluster: run `offbus recover {self._run} --env kubernetes`",
            )


def _merged(events: Sequence[Event]) -> dict[str, Any]:
    merged: dict[str, Any] = {"data": {}}
    for event in events:
        for field, entries in _content(event).items():
            merged.setdefault(field, {}).update(entries)
    return merged


def _without_undos(data: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in data.items() if not key.startswith("undo-")}


def _owners_in(data: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in data.items() if key.startswith("owner-")}


def _undos_in(records: Object) -> Sequence[Any]:
    """The undo records that are stored; of records that are damaged, none proves anything."""
    try:
        found = map(UNDO_RECORDED.of, events_in(records))
    except CouldNotRun:
        return ()
    return [one["record"] for one in found if one is not None]


def _is_record_of(record: Any, undo: Undo) -> bool:
    """Whether a stored record is this undo's. Another offbus may have left out what has a default."""
    try:
        return type(undo).model_validate(record) == undo
    except ValidationError:
        return False


def _content(event: Event) -> dict[str, dict[str, str]]:
    """The fields of the ConfigMap that hold an event; none when it is a fingerprint that does not fit."""
    text = json.dumps(event, separators=(",", ":"), ensure_ascii=False)
    if FINGERPRINT.of(event) is not None:
        content = text.encode()
        packed = gzip.compress(content, mtime=0)
        readable = len(content) <= UNPACKED_BYTES and not has_more_values(content, MOST_VALUES)
        fits = readable and len(packed) <= FINGERPRINT_BYTES
        return {"binaryData": {PACKED: base64.b64encode(packed).decode()}} if fits else {}
    key = event["kind"].replace("_", "-")
    if (undo := UNDO_RECORDED.of(event)) is not None:
        key = f"undo-{undo['undo']:05d}"
    elif (owner := ADOPTED.of(event)) is not None:
        key = f"owner-{owner['epoch']:05d}"
    return {"data": {key: text}}


def _refusal(event: Event, err: PortError) -> StepError:
    undo = UNDO_RECORDED.of(event)
    what = undo["describe"] if undo is not None else f"the {event['kind']}"
    return StepError(
        f"cannot record {what!r} in the cluster, so nothing is changed: {err.message}", hint=err.hint
    )
