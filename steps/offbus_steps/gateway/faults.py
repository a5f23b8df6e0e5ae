"""The gateway's faults: each request is a run of its own, played here like one of `offbus run`, one at a time.

A cluster has one run's Lease, and so one fault of the gateway: a second one is refused until the first is recovered.
What refuses a fault is the run's own machinery: the locks of the environment, its opening, the step and the guards.
The watch after an undo gives way to the next fault, as it does to Ctrl-C.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from offbus.abilities import ability
from offbus.cli.handlers.play import held_run, identity_of
from offbus.errors import CouldNotRun, OffbusError
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.check.cli_environment import named_options
from offbus.language.scenario import Scenario
from offbus.open_run import OpenRun
from offbus.plugins import installed
from offbus.runner.clock import SystemClock
from offbus.runner.run_end import write_report
from offbus.runner.session import Session
from offbus_agent.http.guide_form import fault_type, target_of
from offbus_agent.refusals import Refusal
from offbus_steps.gateway.config import LIFETIME, GatewayConfig
from offbus_steps.gateway.fault_scenario import Chosen, fault_scenario
from offbus_steps.gateway.live_fault import LiveFault
from offbus_steps.gateway.models import FaultRecord
from offbus_steps.gateway.record import prune, read_records, write_record
from offbus_steps.gateway.target import Aimed, find_target
from offbus_steps.port import Observable, PortError

__all__ = ["Asked", "Faults"]

_log = logging.getLogger(__name__)
FOUND_WITHIN_S = 20.0
SETTLED_WITHIN_S = 10.0
"""A watch after an undo has ended by then, once it is asked to."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    node: str
    gpu_id: int
    xid: int
    planes: Sequence[str]
    duration: int | None
    caller: str


class Faults:
    """All faults of one gateway; `tasks` outlive each request."""

    def __init__(self, env: Chosen, config: GatewayConfig, base: Path, tasks: TaskGroup) -> None:
        self._env, self._config, self._base, self._tasks = env, config, base, tasks
        self._turn = anyio.Lock()
        self._live: LiveFault | None = None
        self._session: Session | None = None
        self._own: dict[str, FaultRecord] = {}
        """Those whose runs are played, by id: newer than what is on disk."""
        self._closed = ""
        """Why nothing is injected any more."""
        self._folder: OpenRun | None = None
        """Of the run that is played."""

    def all(self) -> list[FaultRecord]:
        """All that are known, oldest first."""
        found = {one.id: one for one in read_records(self._base)} | self._own
        return sorted(found.values(), key=lambda one: one.created_at)

    def get(self, fault: str) -> FaultRecord:
        """One of them. Raises Refusal 404."""
        found = self._own.get(fault) or next((one for one in self.all() if one.id == fault), None)
        if found is None:
            raise Refusal(404, "no_such_fault", f"there is no fault {fault}", "GET /api/v1/faults lists them")
        return found

    async def inject(self, asked: Asked) -> FaultRecord:
        """Inject, and answer once it is proven. Raises Refusal; what refuses it has changed nothing."""
        lasts = self._lasts(asked.duration)
        self._require_open()
        async with self._turn:
            await self._make_room()
            self._require_open()
            aimed = await self._aimed(asked)
            live = self._begin(asked, aimed, lasts)
        await live.decided.wait()
        if not live.injected:
            await live.over.wait()  # what was begun is undone, and read back, before it is told as refused
            raise _not_injected(live)
        return live.record

    async def recover(self, fault: str, why: str) -> FaultRecord:
        """Recover it, and answer once it is undone, or `recovering` when that takes longer. Raises Refusal 404, 409."""
        known = self.get(fault)
        live = self._live
        if live is None or live.record.id != fault:
            if known.status == "recovered":
                return known
            message = str(known.details.get("message") or known.status)
            raise Refusal(409, "not_live", f"fault {fault} is not live: {message}")
        live.end(why)
        with anyio.move_on_after(self._config.answer_within.total_seconds()):
            await live.undone.wait()
        if live.undone.is_set() and live.record.status != "recovered":
            await live.over.wait()
            raise _remaining(live)
        return live.record

    def renew(self, fault: str, duration: int | None) -> FaultRecord:
        """It lives that long from now. Raises Refusal 404, 409."""
        known, live = self.get(fault), self._live
        if live is None or live.record.id != fault or live.record.status != "injected":
            raise Refusal(409, "not_live", f"fault {fault} is {known.status}: there is nothing to renew")
        lasts = self._lasts(duration)
        if datetime.now(UTC) + lasts > known.created_at + LIFETIME:
            raise Refusal(409, "too_old", f"fault {fault} cannot live longer than a day", "inject a new one")
        live.renew(lasts)
        return live.record

    async def end_all(self, why: str) -> list[str]:
        """The gateway ends: what is live is undone, nothing is injected, and nothing is watched any longer.

        Returns what is left of it.
        """
        self._closed = why
        live, session = self._live, self._session
        if live is not None:
            live.end(why)
            await live.undone.wait()
            if session is not None:
                session.stop(why)
            await live.over.wait()
        return live.residue if live is not None else []

    def _lasts(self, duration: int | None) -> timedelta:
        longest = self._config.longest
        if duration is None:
            return longest
        if timedelta(seconds=duration) > longest:
            most = int(longest.total_seconds())
            raise Refusal(
                422,
                "too_long",
                f"duration {duration} is more than {most} s",
                "renew the fault before it ends",
            )
        return timedelta(seconds=duration)

    def _require_open(self) -> None:
        if self._closed:
            raise Refusal(503, "stopping", self._closed, "ask the next gateway", retry_after_s=5)

    async def _make_room(self) -> None:
        """Raises Refusal 409 while another fault lives or is being undone."""
        live, session = self._live, self._session
        if live is None or live.over.is_set():
            return
        if live.record.status == "recovering":
            with anyio.move_on_after(self._config.answer_within.total_seconds()):
                await live.undone.wait()
        if live.undone.is_set() and session is not None:
            session.stop("the next fault")
            with anyio.move_on_after(SETTLED_WITHIN_S):
                await live.over.wait()
                return
        record = live.record
        until = f" until {record.expires_at:%H:%M:%S} UTC" if record.expires_at else ""
        raise Refusal(
            409,
            "one_at_a_time",
            f"fault {record.id} is {record.status}{until}; a cluster has one drill at a time",
            f"recover it first: POST /api/v1/faults/{record.id}/recover",
            fault=record.id,
        )

    async def _aimed(self, asked: Asked) -> Aimed:
        kind, options = named_options(self._env.name, self._env.sets, installed())
        opener = ability(kind.opener, Observable)
        if opener is None:
            raise Refusal(409, "not_here", f"the environment {self._env.name} cannot be looked at")
        try:
            with anyio.fail_after(FOUND_WITHIN_S):
                async with opener.observed(options) as seen:
                    return await find_target(seen.port, self._config.guards, asked.node, asked.gpu_id)
        except (CouldNotRun, PortError) as err:
            raise Refusal(503, "no_cluster", err.message, err.hint or "") from err
        except TimeoutError as err:
            raise Refusal(503, "no_cluster", "the cluster did not answer in time", "ask again") from err

    def _begin(self, asked: Asked, aimed: Aimed, lasts: timedelta) -> LiveFault:
        run = secrets.token_hex(4)
        details = {"node": aimed.node, "gpu_id": aimed.gpu_id, "gpu": aimed.uuid, "xid_type": asked.xid}
        details |= {
            "planes": asked.planes,
            "workload": str(aimed.workload),
            "caller": asked.caller,
            "run": run,
        }
        record = FaultRecord(
            id=f"{fault_type(asked.xid)}-{run}",
            type=fault_type(asked.xid),
            target=target_of(aimed.node, aimed.gpu_id),
            status="pending",
            created_at=datetime.now(UTC),
            details=details,
        )
        live = self._live = LiveFault(record, lasts, self._note)
        try:
            scenario = fault_scenario(self._env, self._config, aimed, asked.xid, asked.planes, live.hold)
        except InvalidScenario as err:
            self._live = None
            raise Refusal(422, "invalid_fault", "; ".join(one.message for one in err.findings)) from err
        self._tasks.start_soon(self._play, live, scenario, run)
        return live

    async def _play(self, live: LiveFault, scenario: Scenario, run: str) -> None:
        """To its end, whatever happens on the way."""
        try:
            identity = await anyio.to_thread.run_sync(identity_of, scenario)
            with held_run(self._base, scenario, identity, run) as folder:
                await self._play_in(live, scenario, folder, identity)
        except OffbusError as err:
            live.why = live.why or (err.message, err.hint or "")
        finally:
            self._session = None
            live.finish()
            self._own.pop(live.record.id, None)  # from here on it is what its folder says
            prune(self._base, self._config.keep)

    async def _play_in(self, live: LiveFault, scenario: Scenario, folder: OpenRun, identity: str) -> None:
        """The record is beside the run's journal, from before the first change to after the last one."""
        problem = ""
        live.record.details["folder"] = str(folder.path)
        self._own[live.record.id], self._folder = live.record, folder
        try:
            write_record(folder, live.record)
            self._session = Session(
                scenario, folder, SystemClock(), identity=identity, listeners=[live.heard]
            )
            write_report(await self._session.run(), folder)
        except OffbusError as err:
            live.why = live.why or (err.message, err.hint or "")
            problem = f"its run did not end: {err.message}" if live.injected else ""
        except Exception as err:  # noqa: BLE001  one fault's bug ends no gateway
            _log.exception("fault %s", live.record.id)
            live.why = live.why or (f"internal error: {type(err).__name__}: {err}", "see the gateway's log")
            problem = f"its run did not end; finish it with: offbus recover {folder.id}"
        finally:
            live.conclude(problem)
            self._folder = None

    def _note(self, record: FaultRecord) -> None:
        if record.id in self._own:
            self._own[record.id] = record
        if self._folder is not None:
            try:
                write_record(self._folder, record)
            except OSError as err:
                _log.error("the record of %s cannot be written: %s", record.id, err)


def _not_injected(live: LiveFault) -> Refusal:
    if live.residue:
        return _remaining(live)
    message, hint = live.why or ("it was not injected", "")
    return Refusal(409, "refused", message, hint)


def _remaining(live: LiveFault) -> Refusal:
    """Something of it is not undone."""
    run = live.record.details["run"]
    what = "; ".join(live.residue) or "it could not be undone"
    return Refusal(500, "residue", f"fault {live.record.id}: {what}", f"finish it with: offbus recover {run}")
