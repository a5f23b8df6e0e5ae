"""Probes, when they begin and how often they ask: the only code that polls, because polling is the protocol.

A kubelet's probe period of 10 s would make every local drill minutes long; here a probe runs at least every
`probe_period_s` (0.2 s by default), and the thresholds are the pod's own.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

__all__ = ["Probe", "ProbeClient", "until_started", "watch_probe"]

ProbeClient = httpx.AsyncClient
Report = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Probe:
    """A container's probe, with the container's ports resolved."""

    spec: Mapping[str, Any]
    host: str
    port: int
    period_s: float
    timeout_s: float
    successes: int
    failures: int

    @classmethod
    def of(
        cls, spec: Mapping[str, Any], container: Mapping[str, Any], host: str, longest_s: float
    ) -> "Probe":
        """From the pod's spec; Kubernetes' defaults are 10 s, 1 s, 1 and 3. Raises ValueError for an unknown port."""
        where = spec.get("httpGet") or spec.get("tcpSocket")
        if where is None:
            raise ValueError("a local node supports only httpGet and tcpSocket probes")
        port = where["port"]
        if not isinstance(port, int):  # the name of one of the container's ports
            named = [one for one in container.get("ports") or () if one.get("name") == port]
            if not named:
                raise ValueError(f"probe port {port!r} is not a port of container {container['name']}")
            port = int(named[0]["containerPort"])
        return cls(
            spec=spec,
            host=str(where.get("host") or host),
            port=port,
            period_s=min(float(spec.get("periodSeconds") or 10), longest_s),
            timeout_s=float(spec.get("timeoutSeconds") or 1),
            successes=int(spec.get("successThreshold") or 1),
            failures=int(spec.get("failureThreshold") or 3),
        )

    async def once(self, client: ProbeClient) -> bool:
        """Whether it succeeds now. As for the kubelet, 200 to 399 is success."""
        http = self.spec.get("httpGet")
        try:
            with anyio.fail_after(self.timeout_s):
                if http is not None:
                    path = str(http.get("path") or "/").encode()
                    url = httpx.URL(scheme="http", host=self.host, port=self.port, raw_path=path)
                    headers = [(h["name"], h["value"]) for h in http.get("httpHeaders") or ()]
                    async with client.stream("GET", url, headers=headers) as answer:
                        return 200 <= answer.status_code < 400  # its body is not read, however long it is
                _, writer = await asyncio.open_connection(self.host, self.port)
                writer.close()
                return True
        except (TimeoutError, OSError, httpx.HTTPError):
            return False


async def watch_probe(probe: Probe, client: ProbeClient, report: Report, *, start: bool) -> None:
    """Probe until cancelled; call `report` whenever the verdict changes (it begins as `start`)."""
    verdict, streak = start, 0
    while True:
        good = await probe.once(client)
        streak = streak + 1 if good != verdict else 0
        if streak >= (probe.successes if good else probe.failures):
            verdict, streak = good, 0
            report(verdict)
        await anyio.sleep(probe.period_s)


async def until_started(probe: Probe, client: ProbeClient) -> bool:
    """The startup probe: True at its first success, False after too many failures."""
    for _ in range(probe.failures):
        if await probe.once(client):
            return True
        await anyio.sleep(probe.period_s)
    return False
