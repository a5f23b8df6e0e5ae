"""The place that is tortured: a kept sandbox whose delays are all as short as they can be, in a folder of its own.

Its supervisor stays up over all kills, so that what is compared is a living world. `Place.build` compiles the three C
programs beside this file; `Place.up` starts the sandbox and puts one workload into it; `Place.down` ends everything.
Raises subprocess.CalledProcessError when a program does not compile, OffbusError when the sandbox does not come up.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import yaml

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import Backoff, SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.port import Object

__all__ = ["NAMESPACE", "TortureSandbox"]

HERE = Path(__file__).parent
NAMESPACE = "torture-kept"
PATIENCE_S = 60.0
QUICK = ResponderConfig(
    detect_delay_s=0,
    dedup_window_s=0,
    quarantine_delay_s=0,
    drain_delay_s=0,
    remediate_delay_s=0.4,
    janitor_delay_s=0.2,
    uncordon_delay_s=0,
)
"""Nothing is waited for but by the repair, so that a recovery finds one on its way."""
CONFIG = SandboxConfig(
    nodes=2,
    gpus_per_node=1,
    responder=QUICK,
    backoff=Backoff(base_s=0.1, cap_s=0.2),
    probe_period_s=0.05,
)


@dataclass(frozen=True)
class TortureSandbox:
    """A folder with a state home, the compiled programs and the scenario; see the module's docstring."""

    root: Path

    @property
    def state(self) -> Path:
        """XDG_STATE_HOME of every command."""
        return self.root / "s"

    @property
    def runs(self) -> Path:
        """The runs."""
        return self.state / "offbus" / "runs"

    @property
    def layout(self) -> Layout:
        """The sandbox's files."""
        return Layout.of(self.state / "offbus" / "local" / "default")

    @property
    def tracer(self) -> Path:
        """Kills a program at an exact place."""
        return self.root / "tracer"

    @property
    def jumping_clock(self) -> Path:
        """To be preloaded: the wall clock jumps."""
        return self.root / "jumping_clock.so"

    @property
    def scenario(self) -> Path:
        """The drill."""
        return self.root / "drill.yaml"

    @property
    def nodes(self) -> list[Path]:
        """The nodes' folders."""
        return [self.layout.node(name) for name in CONFIG.node_names]

    @property
    def env(self) -> dict[str, str]:
        """The environment of every command."""
        return os.environ | {"XDG_STATE_HOME": str(self.state), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}

    def offbus(self, *words: str | Path) -> list[str]:
        """A command line."""
        return [sys.executable, "-m", "offbus", *map(str, words)]

    def build(self) -> None:
        """Compile the programs and write the scenario and its manifest."""
        compiler = [os.environ.get("CC", "cc"), "-O2", "-o"]
        for name, more in (("tracer", ()), ("target", ("-ldl",)), ("jumping_clock", ("-fPIC", "-shared"))):
            output = self.jumping_clock if name == "jumping_clock" else self.root / name
            subprocess.run([*compiler, str(output), str(HERE / f"{name}.c"), *more], check=True)
        for name in ("drill.yaml", "new.yaml", "expire.yaml"):
            (self.root / name).write_text(self._rendered(name))

    def up(self) -> None:
        """Start the sandbox, and put the kept workload into it."""
        self.state.mkdir(mode=0o700)
        anyio.run(start, self.layout, CONFIG)
        anyio.run(self._fill)

    def down(self) -> None:
        """End the sandbox and every process of it."""
        if self.layout.real.exists():
            anyio.run(stop, self.layout)
            self.layout.forget_alias()

    def settle(self) -> None:
        """Wait until the kept workload is rolled out and ready: what controllers do may take a moment."""
        anyio.run(self._ready)

    async def _fill(self) -> None:
        async with LocalPort(self.layout.api) as port:
            await port.objects.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            )
            await port.objects.create(yaml.safe_load(self._rendered("existing.yaml")))
        await self._ready()

    async def _ready(self) -> None:
        async with LocalPort(self.layout.api) as port:
            with anyio.fail_after(PATIENCE_S):
                listing = await port.objects.list("Deployment", namespace=NAMESPACE)
                if any(_is_settled(one) for one in listing.items):
                    return
                changes = port.objects.watch(
                    "Deployment", namespace=NAMESPACE, resource_version=listing.resource_version
                )
                async for change in changes:
                    if _is_settled(change.object):
                        return

    def _rendered(self, name: str) -> str:
        return (HERE / name).read_text().replace("@TARGET@", str(self.root / "target"))


def _is_settled(obj: Object) -> bool:
    """Of one replica, one is there, it is of the newest template and it is ready."""
    status: dict[str, Any] = obj.get("status") or {}
    seen = status.get("observedGeneration") == obj["metadata"]["generation"]
    return seen and all(status.get(f) == 1 for f in ("replicas", "updatedReplicas", "readyReplicas"))
