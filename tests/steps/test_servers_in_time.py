"""What is asked of an API server again and again because nothing tells it, on virtual time."""

from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.kubernetes.rest.watch_stream import BLIND_S, FIRST_PAUSE, LONGEST_PAUSE, events_after
from offbus_steps.port import Unavailable
from offbus_steps.prepare.by_admission import LOOK_AGAIN_S, SHOWS_WITHIN_S, _takes_effect
from tests.kits.steps.timed_port import pod, timed_bench
from tests.kits.virtual_time import in_virtual_time


class AwayServer:
    """An API server that no watch reaches."""

    def __init__(self) -> None:
        self.tried: list[float] = []

    async def open_stream(self, _call: Any, *, total_s: float) -> Any:
        self.tried.append(round(anyio.current_time(), 6))
        raise Unavailable("away")


@pytest.mark.timer("steps/offbus_steps/kubernetes/rest/watch_stream.py")
@in_virtual_time
async def test_a_watch_of_kubernetes_goes_on_by_itself_for_a_minute_and_says_so() -> None:
    server: Any = AwayServer()
    with pytest.raises(Unavailable) as given_up:
        async with aclosing(events_after(server, "/api/v1/nodes", {}, "1")) as events:
            await anext(events)
    pauses = [round(after - before, 6) for before, after in pairwise(server.tried)]
    assert pauses[:7] == [FIRST_PAUSE, 0.2, 0.4, 0.8, 1.6, LONGEST_PAUSE, LONGEST_PAUSE]
    assert BLIND_S < given_up.value.away_s == anyio.current_time() <= BLIND_S + LONGEST_PAUSE


@pytest.mark.timer("steps/offbus_steps/prepare/by_admission.py")
@in_virtual_time
async def test_a_policy_without_effect_is_given_up(tmp_path: Path) -> None:
    sample = pod("sample", "web", "node-1")
    async with timed_bench(tmp_path) as (one, port):
        taken = await _takes_effect(one.cluster, {key: sample[key] for key in sample if key != "status"})
        assert not taken
        assert anyio.current_time() == SHOWS_WITHIN_S
        tries = port.objects.times("create Pod")
        assert tries[:3] == [0.0, LOOK_AGAIN_S, 2 * LOOK_AGAIN_S]
        assert len(tries) == SHOWS_WITHIN_S / LOOK_AGAIN_S
