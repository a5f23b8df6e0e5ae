"""The programs of a sandbox besides its pods: a node agent on every node, and the stand-in responder."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.child import Command
from offbus_sandbox.processes.service import Service
from offbus_sandbox.processes.table import MARK
from offbus_sandbox.responder.config import ResponderConfig

__all__ = ["programs_of"]


def programs_of(layout: Layout, config: SandboxConfig) -> Iterator[Service]:
    """The services to keep running."""
    if config.agents:
        for node in config.node_names:
            root = layout.node(node)
            options = {
                "--node": node,
                "--root": root,
                "--uds": layout.agent(node),
                "--token-file": layout.token,
                "--kmsg": root / "kmsg",
                "--state": root / "var/lib/offbus",
            }
            words = [word for name, value in options.items() for word in (name, str(value))]
            argv = [sys.executable, "-m", "offbus_agent", "serve", *words]
            command = command_of(layout, root / "log" / "agent.log", argv)
            yield Service(f"agent {node}", command, layout.processes)
    if config.responder is not None:
        yield from responder_services(layout, config, config.responder)


def responder_services(
    layout: Layout, config: SandboxConfig, responder: ResponderConfig
) -> Iterator[Service]:
    """A detector on every node, and the controller."""
    settings = layout.root / "responder.json"
    settings.write_text(responder.model_dump_json(indent=2) + "\n")
    common = ["--api", str(layout.internal), "--config", str(settings)]
    program = [sys.executable, "-m", "offbus_sandbox.responder"]
    for node in config.node_names:
        argv = [*program, "detector", "--node", node, "--root", str(layout.node(node)), *common]
        log = layout.node(node) / "log" / "detector.log"
        yield Service(f"detector {node}", command_of(layout, log, argv), layout.processes)
    command = command_of(layout, layout.logs / "responder.log", [*program, "controller", *common])
    yield Service("responder", command, layout.processes)


def command_of(layout: Layout, log: Path, argv: Sequence[str]) -> Command:
    """One of our own programs; of the user's environment it gets only PATH."""
    env = {MARK: layout.id, "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "HOME": str(layout.root)}
    return Command(argv, env, log, layout.root)
