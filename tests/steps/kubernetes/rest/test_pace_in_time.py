"""The run's own limit on requests to an API server, on virtual time."""

import anyio
import pytest

from offbus_steps.kubernetes.rest.rate_limit import Pace
from tests.kits.virtual_time import in_virtual_time

QPS, BURST = 50.0, 10


async def sent(pace: Pace, requests: int) -> list[float]:
    """When requests that are all wanted at once may be sent, from now."""
    began, times = anyio.current_time(), []

    async def one() -> None:
        await pace.take()
        times.append(anyio.current_time() - began)

    async with anyio.create_task_group() as tasks:
        for _ in range(requests):
            tasks.start_soon(one)
    return times


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/rate_limit.py")
@in_virtual_time
async def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    expected = [0.0] * BURST + [number / QPS for number in range(1, 91)]
    assert await sent(Pace(QPS, BURST), 100) == pytest.approx(expected)


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/rate_limit.py")
@in_virtual_time
async def test_what_was_not_used_is_kept_up_to_the_burst() -> None:
    pace = Pace(QPS, BURST)
    await sent(pace, BURST)
    await anyio.sleep(3 / QPS)
    assert await sent(pace, 5) == pytest.approx([0.0] * 3 + [1 / QPS, 2 / QPS])
    await anyio.sleep(3600)
    assert await sent(pace, BURST + 1) == pytest.approx([0.0] * BURST + [1 / QPS])
