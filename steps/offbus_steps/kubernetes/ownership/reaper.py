"""The reaper: finishes the runs of a cluster whose runner is gone. `python -m offbus_steps.kubernetes.ownership.reaper`

    watch the run's Lease -> unrenewed for its whole duration, on our own monotonic clock -> read the run's records ->
    rebuild its journal in a scratch folder -> offbus.recovery.recover, as `offbus recover` does -> publish the report

It has no undo logic of its own. `offbus.recovery.recover` takes over the Lease (conditional on the version that was
watched, so that an owner who renewed it meanwhile, or another replica, keeps it), raises the epoch, undoes, compares,
and gives up the Lease, or keeps it when something remains. Times that others wrote down are never read.

A crash of the reaper loses nothing: the records are in the cluster, so a restarted reaper, or another replica, watches
from the beginning. It never retries in a busy loop: each further try for the same run waits twice as long, by its
epoch. SIGTERM waits until the run that it finishes is over; after SIGKILL the next reaper takes over. Its output is a
ConfigMap (`published_reports`) and its log, one JSON object per line on stderr.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog

from offbus.errors import CouldNotRun, OffbusError, TakenOver
from offbus.exits import Exit
from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import shown
from offbus.recovery.import_run import bring_here
from offbus.recovery.recover import recover
from offbus.report.model import Report
from offbus.runner.clock import SystemClock
from offbus_steps.kubernetes.connect import port_of
from offbus_steps.kubernetes.json_log import log_json
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.lease_watch import ExpiredLease, LeaseWatch
from offbus_steps.kubernetes.ownership.published_reports import publish, summary_of
from offbus_steps.kubernetes.ownership.run_lease import RunLease, holder_of
from offbus_steps.kubernetes.ownership.unfinished_runs import unfinished_run
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.port import PortError

__all__ = ["Reaper", "main"]

LOGGED = (EventKind.ADOPTED, EventKind.UNDO_ENDED, EventKind.RESIDUE, EventKind.RUN_ENDED)
"""The events of a recovery that are logged."""
BY = "reaper"


@dataclass(frozen=True, slots=True)
class Reaper:
    """Watches one cluster."""

    port: KubernetesPort
    options: KubernetesOptions
    scratch: Path

    async def run(self) -> None:
        """Finish expired runs; never returns.

        Failures are logged: the Lease is watched again, so the next try comes after its duration.
        """
        watch = LeaseWatch(self.port, self.options.agent_namespace)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.follow)
            while True:
                expired = await watch.expired()
                log = structlog.get_logger().bind(run=expired.run)
                log.info("lease expired", holder=expired.holder, watched_s=round(expired.watched_s, 1))
                try:
                    unfinished = await unfinished_run(self.port, self.options, expired.run, expired.lease)
                    if unfinished.events:
                        report = await self._recovered(unfinished, log)
                        log.info("finished", residue=len(report.residue), exit=int(report.exit))
                    else:
                        await self._free(expired)
                except TakenOver as err:
                    log.info("another owner took it over", why=err.message)
                except OffbusError as err:
                    log.warning("not finished", why=str(err))
                except Exception:  # a bug with one run must not end the reaper of all
                    log.exception("bug")

    async def _recovered(self, unfinished: Any, log: Any) -> Report:
        """Rebuild the journal, recover, publish. Raises OffbusError."""
        base = Path(tempfile.mkdtemp(prefix=f"{unfinished.run}-", dir=self.scratch))
        try:
            with bring_here(base, unfinished) as folder, anyio.CancelScope(shield=True):
                report = await recover(folder, SystemClock(), by=BY, listeners=[partial(_log_event, log)])
                try:
                    await publish(self.port, self.options.agent_namespace, report, folder)
                except PortError as err:
                    log.warning("the report is only in this log", why=str(err), report=summary_of(report))
            return report
        finally:
            shutil.rmtree(base)

    async def _free(self, expired: ExpiredLease) -> None:
        """Its owner died before it recorded anything, so before it could change anything: free the cluster.

        A SIGTERM waits for it, as for a recovery: one in the middle would leave the Lease with a reaper that has
        ended, for a whole duration, or a cluster freed with no line that says so.
        """
        if expired.lease is None:
            return
        holder = holder_of(expired.run, expired.epoch + 1)
        lease = RunLease(self.port.objects, self.options.agent_namespace, holder)
        with anyio.CancelScope(shield=True):
            await lease.take_over("", expired=expired.lease["metadata"]["resourceVersion"])
            await lease.give_up()
            structlog.get_logger().info("freed", run=expired.run, why="its owner had recorded nothing")


def _log_event(log: Any, event: Event) -> None:
    if event["kind"] in LOGGED:
        data: Mapping[str, Any] = {k: v for k, v in shown(event).items() if k != "evidence"}
        log.info(event["kind"], **data)


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="offbus_steps.kubernetes.ownership.reaper", description=__doc__)
    parser.add_argument("--namespace", default=AGENT_NAMESPACE, help="where the agents and the Leases are")
    parser.add_argument("--context", default="", help="context of the kubeconfig; default: the current one")
    parser.add_argument(
        "--kubeconfig", default="", help="kubeconfig file; default: as kubectl finds it, or in-cluster"
    )
    parser.add_argument("--scratch", type=Path, help="folder for journals during a recovery")
    args = parser.parse_args(argv)
    log_json()
    options = KubernetesOptions(
        context=args.context, kubeconfig=args.kubeconfig, agent_namespace=args.namespace
    )
    try:
        anyio.run(_serve, options, args.scratch)
    except CouldNotRun as err:
        structlog.get_logger().error("cannot start", why=str(err))
        return Exit.COULD_NOT_RUN
    return Exit.PASSED


async def _serve(options: KubernetesOptions, scratch: Path | None) -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(port_of(options))
        own = scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offbus-reaper-")))
        os.environ["XDG_STATE_HOME"] = str(own)  # where it notes how imported runs are opened
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
            structlog.get_logger().info("watching", namespace=options.agent_namespace)
            await Reaper(port, options, own).run()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            structlog.get_logger().info("ends", signal=signal.Signals(number).name)
            scope.cancel()
            return


if __name__ == "__main__":
    sys.exit(main())
