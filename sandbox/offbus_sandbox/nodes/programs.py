"""The programs of a sandbox besides its pods: a node agent on every node, the stand-in responder, and the gateway."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    if config.gateway:
        yield gateway_service(layout, config)


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


def gateway_service(layout: Layout, config: SandboxConfig) -> Service:
    """The published API on this machine's loopback. It acts on the sandbox as a user does, and so knows their state."""
    options = {
        "--env": "local",
        "--env-set": f"sandbox={layout.real.name}",
        "--port": config.gateway_port,
        "--address-file": layout.gateway_address,
        "--token-file": layout.gateway_token,
        "--audit": layout.logs / "gateway-audit.jsonl",
    }
    words = [word for name, value in options.items() for word in (name, str(value))]
    command = command_of(
        layout, layout.logs / "gateway.log", [sys.executable, "-m", "offbus", "gateway", *words]
    )
    users = {name: os.environ[name] for name in ("HOME", "XDG_STATE_HOME", "TMPDIR") if name in os.environ}
    return Service("gateway", replace(command, env={**command.env, **users}), layout.processes)


def command_of(layout: Layout, log: Path, argv: Sequence[str]) -> Command:
    """One of our own programs; of the user's environment it gets only PATH."""
    env = {MARK: layout.id, "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "HOME": str(layout.root)}
    return Command(argv, env, log, layout.root)
