"""Opens the environment `local`: chooses a sandbox, starts one where the run needs its own, and ends that again.

What a failure does: a sandbox that was started and could not be opened is ended here, and what is not proven to have
ended is told as residue; once it is open, `close` decides whether it ends or stays for a recovery. A recovery of a run
whose sandbox never opened only ends it: nothing was changed in it.

Nothing here is imported until a run or a recovery opens `local`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio

from offbus.environment import Environment, Left, RunHandle
from offbus.errors import CouldNotRun, OffbusError
from offbus_sandbox.adapter import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.environment import LocalOptions
from offbus_sandbox.layout import Layout
from offbus_sandbox.named import DEFAULT, folder_of
from offbus_sandbox.start import is_running, start, stop
from offbus_sandbox.traces import local_fingerprint
from offbus_steps.cluster import open_cluster
from offbus_steps.guards import ClusterGuards

__all__ = ["identity", "open_local", "reopen_local"]

CLEAN_UP_S = 60.0
"""How long ending a sandbox that could not be opened may take."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which sandbox a run uses."""

    layout: Layout
    config: SandboxConfig
    own: bool
    """It was made for this run, and ends with it."""

    @classmethod
    def choose(cls, options: LocalOptions, run_dir: Path) -> "Place":
        """A running sandbox, or one of the run's own. Raises CouldNotRun, UsageError."""
        kept = kept_sandbox(options)
        if kept is None:
            return cls(Layout.of(run_dir / "local"), options.config(), own=True)
        config = SandboxConfig.load(kept.config)
        refuse_differences(options, config, kept)
        return cls(kept, config, own=False)

    @property
    def state(self) -> dict[str, Any]:
        """What `reopen` needs."""
        folder, config = str(self.layout.real), self.config.model_dump(mode="json")
        return {"folder": folder, "config": config, "own": self.own}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Place":
        """From journaled state."""
        config = SandboxConfig.model_validate(state["config"])
        return cls(Layout.of(Path(state["folder"])), config, own=bool(state["own"]))


@asynccontextmanager
async def open_local(
    options: LocalOptions, guards: ClusterGuards, run: RunHandle, run_dir: str
) -> AsyncIterator[Environment]:
    """Use a running sandbox, or start one."""
    place = Place.choose(options, Path(run_dir))
    state = {**place.state, "guards": guards.model_dump(mode="json")}
    run.opened({**state, "served": False})
    opened = False
    try:
        if place.own:
            run.progress("starting the local environment")
            await start(place.layout, place.config)
        async with connected(place, guards, run) as cluster:
            run.opened({**state, "served": True})
            opened = True
            yield cluster
    except BaseException:
        if not opened:  # afterwards `close` decides what stays for a recovery
            run.unopened(await end_unopened(place, run.run_id))
        raise


@asynccontextmanager
async def reopen_local(state: Mapping[str, Any], run: RunHandle) -> AsyncIterator[Environment]:
    """Reach the sandbox of a run again; one whose supervisor has gone is started from its files."""
    place = Place.of(state)
    if place.own and not state.get("served", True):
        yield Unserved(place, run)
        return
    if not is_running(place.layout):
        run.progress("starting the local environment again")
        await start(place.layout, place.config)
    async with connected(place, ClusterGuards.model_validate(state["guards"]), run) as cluster:
        yield cluster


def identity(options: LocalOptions) -> str:
    """Two runs exclude each other in one sandbox; a run's own sandbox is nobody else's."""
    kept = kept_sandbox(options)
    return f"local:{kept.real}" if kept else f"local:own-{token_hex(8)}"


def kept_sandbox(options: LocalOptions) -> Layout | None:
    """The running sandbox to use; None for one of the run's own. Raises CouldNotRun when the named one does not run."""
    layout = Layout.of(folder_of(options.sandbox or DEFAULT))
    if is_running(layout):
        return layout
    if options.sandbox:
        raise CouldNotRun(
            f"the sandbox {options.sandbox!r} does not run", hint=f"offbus local up --name {options.sandbox}"
        )
    return None


def refuse_differences(options: LocalOptions, config: SandboxConfig, kept: Layout) -> None:
    """Options that a running sandbox does not have are refused, never ignored."""
    wanted = options.config()
    for field in ("nodes", "gpus_per_node", "responder", "driver"):
        if field in options.model_fields_set and getattr(wanted, field) != getattr(config, field):
            name = kept.real.name
            raise CouldNotRun(
                f"the running sandbox {name!r} has another `{field}` than the scenario asks for",
                hint=f"offbus local down --name {name}, or leave `{field}` out",
            )


async def end_unopened(place: Place, run: str) -> list[Left]:
    """Until the environment is open nobody will close it: a sandbox that was started for it ends here.

    What is not proven to have ended is returned.
    """
    if not place.own:
        return []
    why = f"it was not ended within {CLEAN_UP_S:g} s"
    with anyio.move_on_after(CLEAN_UP_S, shield=True):
        try:
            await end_own(place)
        except Exception as err:  # noqa: BLE001  whatever kept it from ending: it may be left
            why = str(err) if isinstance(err, OffbusError) else f"{type(err).__name__}: {err}"
        else:
            return []
    item = f"the local environment in {place.layout.real}"
    return [Left(item, f"it did not open, and may not have ended: {why}", f"offbus recover {run}")]


async def end_own(place: Place) -> None:
    """End a run's own sandbox, and prove it. Raises CouldNotRun, OSError."""
    await stop(place.layout)
    place.layout.forget_secrets()


class Unserved:
    """A sandbox that never opened, hence in which nothing was changed: all that a recovery does is to end it."""

    def __init__(self, place: Place, run: RunHandle) -> None:
        self._place = place
        self._run = run

    async def fingerprint(self) -> dict[str, Any]:
        """There was none before, so there is nothing to compare."""
        return {}

    async def close(self, *, finished: bool) -> None:
        """End what is left of it. Raises CouldNotRun, OSError."""
        self._run.progress("ending the local environment")
        await end_own(self._place)


@asynccontextmanager
async def connected(place: Place, guards: ClusterGuards, run: RunHandle) -> AsyncIterator[Environment]:
    """The cluster in a running sandbox."""

    async def on_close(finished: bool) -> None:
        if place.own and finished:
            run.progress("ending the local environment")
            await end_own(place)

    async with (
        LocalPort(place.layout.api) as port,
        open_cluster(
            port,
            run,
            guards,
            on_close=on_close,
            extra_fingerprint=lambda: local_fingerprint(port, place.layout),
        ) as cluster,
    ):
        yield cluster
