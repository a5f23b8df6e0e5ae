"""Traffic: an answer streams; what the target refuses or breaks is the target's failure, never the path's."""
# ruff: noqa: S101  this is a test suite that ships

import pytest

from offbus_steps.port import Port, PortError, Ref, Unavailable
from offbus_steps.testing.conformance.pods import ServerPod, running

__all__ = ["TrafficConformance"]

UNUSED_PORT = 8099


class TrafficConformance:
    """See the package's docstring for the fixtures."""

    async def test_a_pod_answers(self, port: Port, namespace: str, server_pod: ServerPod) -> None:
        await running(port, namespace, server_pod("answers"))
        ref = Ref("Pod", "answers", namespace)
        async with port.traffic.stream(ref, "GET", "/", port=8080, timeout=30) as reply:
            assert reply.status == 200
            lines = [line async for line in reply.lines()]
        assert len(lines) > 1
        assert not any(line.endswith("\n") for line in lines)
        async with port.traffic.stream(ref, "GET", "/missing", port=8080, timeout=30) as reply:
            assert reply.status == 404
            assert await reply.read()

    async def test_a_refused_connection_is_the_targets_failure(
        self, port: Port, namespace: str, server_pod: ServerPod
    ) -> None:
        await running(port, namespace, server_pod("refuses"))
        with pytest.raises(PortError) as refused:
            await ask(port, Ref("Pod", "refuses", namespace), UNUSED_PORT)
        assert not isinstance(refused.value, Unavailable)

    async def test_a_missing_target_is_the_targets_failure(self, port: Port, namespace: str) -> None:
        with pytest.raises(PortError) as missing:
            await ask(port, Ref("Pod", "missing", namespace), 8080)
        assert not isinstance(missing.value, Unavailable)


async def ask(port: Port, to: Ref, number: int) -> int:
    """The status of one request."""
    async with port.traffic.stream(to, "GET", "/", port=number, timeout=30) as reply:
        return reply.status
