"""Opens the environment `local`: chooses a sandbox, starts one when the run needs its own, and ends it again.

On failure: a sandbox that was started and could not be opened is ended here, and what has not verifiably ended is
reported as residue; once it is open, `close` decides whether it ends or stays for a recovery. The recovery of a run
whose sandbox never opened only ends it: nothing was changed in it. A circuit breaker that has tripped keeps no sandbox
of a run's own from ending; in a kept one it is residue, whose fix takes that sandbox down.

Nothing here is imported until a run or a recovery opens `local`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

import offbus
from offbus.environment import Environment, Leftover, RunHandle
from offbus.errors import CouldNotRun, EnvironmentGone
from offbus.masking import Masking
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.local.fingerprint import local_fingerprint
from offbus_sandbox.local.launch import is_running, start, stop
from offbus_sandbox.local.names import flag
from offbus_sandbox.local.options import LocalOptions
from offbus_sandbox.local.own_sandbox import FILES, make_own, store_files
from offbus_sandbox.local.sandbox_choice import (
    ChosenSandbox,
    persistent_sandbox,
    refuse_another,
    refuse_gone,
    refuse_others,
)
from offbus_steps.cluster.cluster import Cluster, open_cluster
from offbus_steps.failed_open import leftover_after
from offbus_steps.port import Observed
from offbus_steps.residue.external_changes import BREAKER
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["look_again", "observed_local", "open_local", "reopen_local"]


@asynccontextmanager
async def open_local(
    options: LocalOptions, guards: ClusterGuards, run: RunHandle, run_dir: str
) -> AsyncIterator[Environment]:
    """Use a running sandbox, or start one."""
    chosen = ChosenSandbox.choose(options, Path(run_dir))
    with chosen.used(run_dir):
        async with opened(chosen, guards, run, Path(run_dir)) as cluster:
            yield cluster


@asynccontextmanager
async def opened(
    chosen: ChosenSandbox, guards: ClusterGuards, run: RunHandle, run_dir: Path
) -> AsyncIterator[Environment]:
    """The cluster in a sandbox that the run may use; a failure ends a sandbox that was started for it."""
    state = {**chosen.state, "guards": guards.model_dump(mode="json")}
    run.opened({**state, "served": False})
    is_open = False
    try:
        if chosen.own:
            run.progress("starting the local environment")
            make_own(chosen.layout, run_dir)
            await start(chosen.layout, chosen.config)
        async with LocalPort(chosen.layout.api) as port:
            state["instance"] = await chosen.instance(port)
            async with connected(chosen, port, guards, run, run_dir, ends=chosen.own) as cluster:
                run.opened({**state, "served": True})
                is_open = True
                yield cluster
    except BaseException as err:
        if not is_open:  # once it is open, `close` decides what stays for a recovery
            run.unopened(await end_unopened(chosen, run.run_id, run_dir))
            if (
                isinstance(err, CouldNotRun) and err.hint and not chosen.layout.real.exists()
            ):  # they were moved
                err.hint = err.hint.replace(str(chosen.layout.real), str(run_dir / FILES))
        raise


@asynccontextmanager
async def reopen_local(state: Mapping[str, Any], run: RunHandle, run_dir: str) -> AsyncIterator[Environment]:
    """Connect to a run's sandbox again; if its supervisor has ended, start it from its files and end it afterwards.

    Raises EnvironmentGone when the sandbox was taken down meanwhile, with everything that the run did in it;
    CouldNotRun for a sandbox that is not for this recovery to start or end.
    """
    chosen = _known(state, run_dir)
    if chosen.own and not state.get("served", True):
        yield Unserved(chosen, run, Path(run_dir))
        return
    with chosen.used(run_dir):
        revived = await _running(chosen, run)
        try:
            async with LocalPort(chosen.layout.api) as port:
                await refuse_another(chosen, port, state)
                guards, ends = ClusterGuards.model_validate(state["guards"]), chosen.own or revived
                async with connected(chosen, port, guards, run, Path(run_dir), ends=ends) as cluster:
                    yield cluster
        except EnvironmentGone:
            if revived:
                await stop(chosen.layout)
            raise


@asynccontextmanager
async def observed_local(options: LocalOptions) -> AsyncIterator[Observed]:
    """A sandbox that runs, for whoever only looks at it: it may be in use by a run. Raises CouldNotRun."""
    if persistent_sandbox(options) is None:
        raise CouldNotRun(
            "no sandbox is up to look at", hint="run `offbus local up`; runs use it while it is up"
        )
    chosen = ChosenSandbox.choose(options, Path())
    async with LocalPort(chosen.layout.api) as port:
        yield Observed(port, f"a local sandbox of offbus {offbus.__version__}")


@asynccontextmanager
async def look_again(state: Mapping[str, Any], run: RunHandle, run_dir: str) -> AsyncIterator[Environment]:
    """Connect to a run's sandbox to look at it: it is left running or ended, as it was found, its files where they are.

    Raises as `reopen_local` does, and CouldNotRun for a sandbox that never opened.
    """
    chosen = _known(state, run_dir)
    if chosen.own and not state.get("served", True):
        raise CouldNotRun("the local environment never opened: there is nothing to compare")
    with chosen.used(run_dir):
        revived = await _running(chosen, run)
        try:
            async with LocalPort(chosen.layout.api) as port:
                await refuse_another(chosen, port, state)
                guards = ClusterGuards.model_validate(state["guards"])
                async with connected(chosen, port, guards, run, Path(run_dir), ends=False) as cluster:
                    yield cluster
        finally:
            if revived:
                with anyio.CancelScope(shield=True):
                    await stop(chosen.layout)


def _known(state: Mapping[str, Any], run_dir: str) -> ChosenSandbox:
    chosen = ChosenSandbox.of(state)
    refuse_gone(chosen, state)
    refuse_others(chosen, Path(run_dir))
    return chosen


async def _running(chosen: ChosenSandbox, run: RunHandle) -> bool:
    """Start its supervisor if that has ended; whether it had."""
    if is_running(chosen.layout):
        return False
    run.progress("starting the local environment again")
    await start(chosen.layout, chosen.config)
    return True


async def end_unopened(chosen: ChosenSandbox, run: str, run_dir: Path) -> list[Leftover]:
    """End a sandbox that was started for an environment that did not open: nobody else will close it.

    Returns what has not verifiably ended.
    """
    if not chosen.own:
        return []
    return await leftover_after(
        lambda: end_own(chosen, run_dir, Masking()), f"the local environment in {chosen.layout.real}", run
    )


async def end_own(chosen: ChosenSandbox, run_dir: Path, secrets: Masking) -> None:
    """End a run's own sandbox, verify it, and move its files to the run. Raises CouldNotRun, OSError."""
    await stop(chosen.layout)
    chosen.layout.token.unlink(missing_ok=True)
    chosen.layout.forget_alias()
    store_files(chosen.layout, run_dir, secrets)


class Unserved:
    """A sandbox that never opened: nothing was changed in it, so a recovery only ends it."""

    def __init__(self, chosen: ChosenSandbox, run: RunHandle, run_dir: Path) -> None:
        self._chosen = chosen
        self._run = run
        self._run_dir = run_dir

    async def fingerprint(self) -> dict[str, Any]:
        """There is none from before, so there is nothing to compare."""
        return {}

    async def close(self, *, finished: bool) -> None:
        """End what is left of it. Raises CouldNotRun, OSError."""
        self._run.progress("ending the local environment")
        await end_own(self._chosen, self._run_dir, self._run.masking)


class SandboxCluster(Cluster):
    """The cluster of a sandbox, which knows its fixes (offbus.abilities: SuggestsFixes)."""

    def fix(self, item: str, before: Any) -> str | None:
        """Only a tripped breaker has one: nobody but `offbus recover` changes objects of a sandbox."""
        if before is None and item.endswith(BREAKER) and self.take_down:
            return f"find out which nodes tripped it, then: {self.take_down}"
        return None


@asynccontextmanager
async def connected(
    chosen: ChosenSandbox,
    port: LocalPort,
    guards: ClusterGuards,
    run: RunHandle,
    run_dir: Path,
    *,
    ends: bool,
) -> AsyncIterator[Environment]:
    """The cluster in a running sandbox; with `ends`, it ends once nothing is left to undo."""

    async def on_close(finished: bool) -> None:
        if ends and finished:
            run.progress("ending the local environment")
            await (end_own(chosen, run_dir, run.masking) if chosen.own else stop(chosen.layout))

    async with open_cluster(
        port,
        run,
        guards,
        on_close=on_close,
        extra_fingerprint=lambda: local_fingerprint(port, chosen.layout),
        kind=SandboxCluster,
    ) as cluster:
        cluster.ends_with_run = chosen.own
        cluster.take_down = "" if chosen.own else f"offbus local down{flag(chosen.layout.real.name)}"
        yield cluster
