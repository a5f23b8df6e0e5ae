"""Which sandbox a run uses: its own, or one that `offbus local up` started; and whether it is still the same one.

A run's own sandbox does not lie in the run's folder (offbus_sandbox.local.own_sandbox), and nothing is executed that
lies there: whoever changes an artefact has changed nothing here, wherever it is unpacked.

A persistent sandbox has one user at a time, wherever its runs are stored: a run that acts on it holds its lock
`in-use`, which names the run's folder, so that `offbus local down` can name the run that uses it.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from offbus.errors import CouldNotRun, EnvironmentGone
from offbus.files import shared_with
from offbus.journal.lock import FileLock, boot_id
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import is_running
from offbus_sandbox.local.names import DEFAULT, NAME, folder_of
from offbus_sandbox.local.options import LocalOptions
from offbus_sandbox.local.own_sandbox import FILES, own_of
from offbus_sandbox.processes.survey import leftovers
from offbus_steps.port import Port, Ref

__all__ = [
    "ChosenSandbox",
    "identity",
    "persistent_sandbox",
    "refuse_another",
    "refuse_gone",
    "refuse_others",
    "used_by",
]


@dataclass(frozen=True, slots=True)
class ChosenSandbox:
    """Which sandbox a run uses."""

    layout: Layout
    config: SandboxConfig
    own: bool
    """It was started for this run, and ends with it."""

    @classmethod
    def choose(cls, options: LocalOptions, run_dir: Path) -> "ChosenSandbox":
        """A running sandbox, or the run's own. Raises CouldNotRun, UsageError."""
        persistent = persistent_sandbox(options)
        if persistent is None:
            return cls(Layout.of(own_of(run_dir)), options.config(), own=True)
        config = SandboxConfig.load(persistent.config)
        wanted, name = options.config(), persistent.real.name
        for field in LocalOptions.model_fields.keys() - {"sandbox"}:  # what differs is never ignored
            if field in options.model_fields_set and getattr(wanted, field) != getattr(config, field):
                raise CouldNotRun(
                    f"the running sandbox {name!r} has a different `{field}` from the scenario",
                    hint=f"run `offbus local down --name {name}`, or remove `{field}` from the scenario",
                )
        return cls(persistent, config, own=False)

    @property
    def state(self) -> dict[str, Any]:
        """The state for `reopen`."""
        folder, config = str(self.layout.real), self.config.model_dump(mode="json")
        where = {"host": socket.gethostname(), "boot": boot_id()}
        return {"folder": folder, "config": config, "own": self.own, **where}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "ChosenSandbox":
        """From journaled state, which is hostile input: see `refuse_others`."""
        config = SandboxConfig.model_validate(state["config"])
        return cls(Layout.of(Path(state["folder"])), config, own=bool(state["own"]))

    @contextmanager
    def used(self, run_dir: str) -> Iterator[None]:
        """Lock a persistent sandbox for a run, or for its recovery. Raises HeldElsewhere, a CouldNotRun."""
        if self.own:  # nobody else uses it, so the run's own lock is enough
            yield
            return
        with used_by(self.layout, f"run {run_dir}"):
            yield

    async def instance(self, port: Port) -> str:
        """Identifies this sandbox, not a later one in the same folder: its first node's uid. Raises PortError."""
        node = await port.objects.get(Ref("Node", self.config.node_names[0]))
        return str(node["metadata"]["uid"])


def used_by(layout: Layout, task: str) -> FileLock:
    """The lock for a persistent sandbox's only user; the holder's task is "run FOLDER" for a run."""
    return FileLock(layout.in_use, f"the sandbox {layout.real.name!r}", task=task)


def identity(options: LocalOptions) -> str:
    """The sandbox's identity; unique for a run's own sandbox, which has no other user."""
    persistent = persistent_sandbox(options)
    return f"local:{persistent.real}" if persistent else f"local:own-{token_hex(8)}"


def persistent_sandbox(options: LocalOptions) -> Layout | None:
    """The running sandbox to use; None for the run's own. Raises CouldNotRun when the named one does not run."""
    layout = Layout.of(folder_of(options.sandbox or DEFAULT))
    if is_running(layout):
        return layout
    if options.sandbox:
        raise CouldNotRun(
            f"the sandbox {options.sandbox!r} is not running",
            hint=f"run `offbus local up --name {options.sandbox}`",
        )
    return None


def refuse_gone(chosen: ChosenSandbox, state: Mapping[str, Any]) -> None:
    """Raise EnvironmentGone when the sandbox was verifiably taken down; CouldNotRun if it is on another machine."""
    host = state.get("host", socket.gethostname())
    if host != socket.gethostname() and state.get("boot") != boot_id():
        raise CouldNotRun(f"the sandbox {chosen.layout.real} is on {host}", hint=f"recover the run on {host}")
    if chosen.layout.config.exists():
        return
    if remaining := leftovers(chosen.layout):
        names = ", ".join(f"{process.id.pid} {process.command()}" for process in remaining)
        raise CouldNotRun(
            f"the sandbox {chosen.layout.real} has no files any more, but processes of it still run: {names}",
            hint="end them by hand",
        )
    raise EnvironmentGone(f"the sandbox {chosen.layout.real} was taken down; all its processes have ended")


def refuse_others(chosen: ChosenSandbox, run_dir: Path) -> None:
    """Raise CouldNotRun for a sandbox whose pods and processes are not for this recovery to start or end.

    A journal may name any folder. So a run's own sandbox is the one that belongs to its folder, any other one has a
    name, and both are this user's alone. One of 0.1.0, in the run's folder, is used while it runs: then nothing of the
    folder is executed. No option lifts this.
    """
    real = chosen.layout.real
    if chosen.own and real == run_dir / FILES:
        if not is_running(chosen.layout):
            raise CouldNotRun(
                f"the sandbox {real} is in the run's folder and does not run: nothing that it holds is executed",
                hint=f"recover the run where it ran; `offbus recover {run_dir} --plan` shows what it changed",
            )
    elif chosen.own and real != own_of(run_dir).resolve():
        hint = "recover the run from the folder in which it ran, with XDG_STATE_HOME as it was"
        raise CouldNotRun(f"{real} is not the sandbox of this run", hint=hint)
    if not chosen.own and (NAME.fullmatch(real.name) is None or folder_of(real.name).resolve() != real):
        hint = "set XDG_STATE_HOME as it was when it ran; `offbus local status` shows a sandbox"
        raise CouldNotRun(f"{real} is none of your sandboxes", hint=hint)
    if (shared := shared_with(real)) is not None:
        hint = "what is stored in it would be executed with your rights; make it yours alone first"
        raise CouldNotRun(f"the sandbox {real} is not yours alone: it {shared.why}", hint=hint)


async def refuse_another(chosen: ChosenSandbox, port: Port, state: Mapping[str, Any]) -> None:
    """Raise EnvironmentGone when the sandbox in this folder is not the one that the run acted on."""
    was = state.get("instance")
    if was is not None and was != await chosen.instance(port):
        raise EnvironmentGone(
            f"the sandbox {chosen.layout.real} was taken down, and another one was started in its folder"
        )
