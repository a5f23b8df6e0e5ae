"""The unfinished runs that are stored in a cluster, ready to be finished by this process.

The stored events say how their runner reached the cluster, with a kubeconfig that may be on another machine; here that
is replaced by this process's own options. Records that are damaged are told, and stop no other run. No owner counts as
dead by what is written: `expired` is the version of the Lease that the caller itself watched unrenewed for its whole
duration; without it, a takeover begins with watching.
"""

from collections.abc import Sequence
from contextlib import suppress

from offbus.abilities import UnfinishedRun
from offbus.errors import CouldNotRun
from offbus.journal.events import Event
from offbus.journal.kinds import ADOPTED, ENVIRONMENT_OPENED
from offbus.journal.schemas import Adopted, EnvironmentOpened
from offbus_steps.kubernetes.connect import journaled_options, port_of, unreachable
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import LEASE, epoch_of, holder_in, run_in
from offbus_steps.kubernetes.ownership.run_records import (
    RECORDS_LABEL,
    events_in,
    records_name,
    run_of_records,
)
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import NotFound, Object, Ref

__all__ = ["NOBODY", "runs_in_cluster", "runs_known", "unfinished_run"]

NOBODY = "nobody"
ENVIRONMENT = "kubernetes"
"""The name of the environment that stores them (offbus_steps.kubernetes.environment)."""


async def runs_in_cluster(options: KubernetesOptions) -> list[UnfinishedRun]:
    """All of them. Raises CouldNotRun when the cluster cannot be reached."""
    async with port_of(options) as port:
        with unreachable():
            return await runs_known(port, options)


async def runs_known(port: KubernetesPort, options: KubernetesOptions) -> list[UnfinishedRun]:
    """The same, over a port that is open. Raises PortError, CouldNotRun."""
    lease: Object | None = None
    with suppress(NotFound):
        lease = await port.objects.get(Ref("Lease", LEASE, options.agent_namespace))
    found = await port.objects.list("ConfigMap", namespace=options.agent_namespace, labels=RECORDS_LABEL)
    records = {run: one for one in found.items if (run := run_of_records(one))}
    held = run_in(lease) if lease is not None else ""
    runs = dict.fromkeys([*([held] if held else ()), *records])
    return [_or_damaged(run, records.get(run), lease if run == held else None, options) for run in runs]


async def unfinished_run(
    port: KubernetesPort, options: KubernetesOptions, run: str, lease: Object | None
) -> UnfinishedRun:
    """One run, whose Lease (if it has one) the caller watched unrenewed. Raises PortError, CouldNotRun."""
    records: Object | None = None
    with suppress(NotFound):
        records = await port.objects.get(Ref("ConfigMap", records_name(run), options.agent_namespace))
    if records is not None and run_of_records(records) != run:
        records = None
    return _unfinished(run, records, lease, options, watched=True)


def _or_damaged(
    run: str, records: Object | None, lease: Object | None, options: KubernetesOptions
) -> UnfinishedRun:
    try:
        return _unfinished(run, records, lease, options)
    except CouldNotRun as err:
        holder = holder_in(lease) if lease is not None else ""
        return UnfinishedRun(run, holder or NOBODY, (), damage=err.message)


def _unfinished(
    run: str,
    records: Object | None,
    lease: Object | None,
    options: KubernetesOptions,
    *,
    watched: bool = False,
) -> UnfinishedRun:
    holder = holder_in(lease) if lease is not None else ""
    if records is None:
        return UnfinishedRun(run, holder or NOBODY, ())
    expired = lease["metadata"]["resourceVersion"] if lease is not None and watched else ""
    events = [_reached_from_here(one, options, expired) for one in events_in(records)]
    return UnfinishedRun(run, holder or NOBODY, (*events, *_unknown_owner(events, run, holder)))


def _reached_from_here(event: Event, options: KubernetesOptions, expired: str) -> Event:
    opened = ENVIRONMENT_OPENED.of(event)
    if opened is None:
        return event
    if opened["environment"] != ENVIRONMENT:
        raise CouldNotRun(f"the records of run {event['run']} are of another environment than {ENVIRONMENT}")
    try:
        records = opened["state"]["options"]
        mine = {
            **journaled_options(options),
            "namespace": records["namespace"],
            "lease_s": records["lease_s"],
        }
    except (KeyError, TypeError) as err:
        raise CouldNotRun(f"the records of run {event['run']} do not say how it was opened: {err!r}") from err
    # No holder: who recovers here holds no lock of that one's journal, so it does not count as dead.
    state = {**opened["state"], "options": mine, "holder": "", "expired": expired}
    data: EnvironmentOpened = {**opened, "state": state}
    return {**event, "data": data}


def _unknown_owner(events: Sequence[Event], run: str, holder: str) -> list[Event]:
    """An owner in the Lease that died before it was recorded: the next epoch must be above its own."""
    epoch = epoch_of(holder)
    known = max((one["epoch"] for one in map(ADOPTED.of, events) if one is not None), default=1)
    if epoch <= known:
        return []
    if not events:
        raise CouldNotRun(f"the records of run {run} are incomplete")
    data: Adopted = {
        "by": "an owner that recorded nothing",
        "host": holder.partition("@")[2].partition("#")[0],
        "pid": 0,
        "epoch": epoch,
        "torn_bytes": 0,
    }
    last = max(events, key=lambda one: one["seq"])
    return [{**last, "seq": last["seq"] + 1, "kind": ADOPTED.name.value, "data": data}]
