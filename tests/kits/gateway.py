"""A gateway on a sandbox that stays up, as a process of its own; a client that shows its token; what it wrote down."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.kits.drill.playing import SCENARIOS, Offbus

__all__ = ["API", "TOKEN", "RunningGateway", "gateway_on", "kept_sandbox", "kernel_lines"]

API = "/api/v1/faults"
TOKEN = "of-this-test"
WATCHDOG_S = 60


class RunningGateway:
    """The process, ready."""

    def __init__(self, offbus: Offbus, *more: str, token: str | None = TOKEN) -> None:
        self.offbus = offbus
        self.audit = offbus.home / "audit.jsonl"
        words = [
            "gateway",
            *([] if "--env" in more else ["--env", "local"]),
            "--port",
            "0",
            "--audit",
            str(self.audit),
        ]
        if token is not None:
            file = offbus.home / "token"
            file.write_text(token + "\n")
            file.chmod(0o600)
            words += ["--token-file", str(file)]
        ready, tell = os.pipe()
        self.address_file = offbus.home / "address"
        words += ["--address-file", str(self.address_file), "--ready-fd", str(tell)]
        self.process = subprocess.Popen(
            offbus.command(*words, *more),
            env=offbus.env,
            pass_fds=(tell,),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.close(tell)
        readable, _, _ = select.select([ready], [], [], WATCHDOG_S)
        told = os.read(ready, 1) if readable else b""
        os.close(ready)
        assert told, f"the gateway did not start: {self.process.communicate()}"
        self.url = self.address_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=WATCHDOG_S)

    def inject(self, xid: int = 79, node: str = "node-1", expect: int = 200, **body: Any) -> dict[str, Any]:
        """Ask for an XID; the answer."""
        reply = self.client.post(f"{API}/gpu/inject/xid-{xid}", json={"node_name": node, **body})
        assert reply.status_code == expect, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def get(self, fault: str) -> dict[str, Any]:
        """A fault's record."""
        reply = self.client.get(f"{API}/{fault}")
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def until(self, fault: str, key: str, value: Any) -> dict[str, Any]:
        """Its record once its status, or one of its details, is that: only asking tells."""
        for _ in range(WATCHDOG_S * 20):
            found = self.get(fault)
            if value in (found.get(key), found["details"].get(key)):
                return found
            select.select([], [], [], 0.05)
        raise AssertionError(f"{key} is not {value!r}: {found}")

    def audited(self) -> list[dict[str, Any]]:
        """The lines of the audit log."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal; (exit status, stderr)."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=WATCHDOG_S)
        return self.process.returncode, stderr


@contextmanager
def gateway_on(offbus: Offbus, *more: str, token: str | None = TOKEN) -> Iterator[RunningGateway]:
    """A gateway that ends with the block."""
    found = RunningGateway(offbus, *more, token=token)
    try:
        yield found
    finally:
        if not found.client.is_closed:
            found.stop()


@contextmanager
def kept_sandbox(home: Path) -> Iterator[Offbus]:
    """The command, with a sandbox that is up and has a workload on each of two nodes."""
    offbus = Offbus(home)
    for words in (["up", "--no-gateway"], ["apply", str(SCENARIOS / "targets/deployment.yaml")]):
        done = offbus.call("local", *words)
        assert done.returncode == 0, done.stdout + done.stderr
    try:
        yield offbus
    finally:
        offbus.call("local", "down", "--force")


def kernel_lines(offbus: Offbus, node: str) -> list[str]:
    """What is in a node's kernel log."""
    path = offbus.home / "offbus/local/default/nodes" / node / "kmsg"
    return [line.split(";", 1)[1] for line in path.read_text().splitlines()]
