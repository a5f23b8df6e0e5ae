"""A paged list whose continue token expires begins again, in pages: nothing is lost, nothing is read in one piece."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.listing import TRIES, projected
from offbus_steps.port import Unavailable
from tests.kits.steps.timed_api import Answer, answering
from tests.kits.virtual_time import in_virtual_asyncio_time

NAMES = ("a", "b", "c")
EXPIRED = {
    "kind": "Status",
    "apiVersion": "v1",
    "reason": "Expired",
    "code": 410,
    "message": "The provided continue parameter is too old to display a consistent list result.",
}


def server(expires: int) -> Callable[[str], Answer]:
    """Pods, one on a page; so many times the second page has expired."""
    left = expires

    def says(call: str) -> Answer:
        nonlocal left
        query = parse_qs(call.partition("?")[2])
        at = int(query.get("continue", ["0"])[0])
        if at and left:
            left -= 1
            return Answer(410, EXPIRED)
        meta = {
            "resourceVersion": f"{expires - left + 1}",
            "continue": str(at + 1) if NAMES[at + 1 :] else "",
        }
        return Answer(body={"metadata": meta, "items": [{"metadata": {"name": NAMES[at]}}]})

    return says


@in_virtual_asyncio_time
async def test_it_begins_again(tmp_path: Path) -> None:
    for expires in range(TRIES):
        async with answering(tmp_path, server(expires)) as (api, asked):
            objects = KubernetesObjects(api, ServedKinds(api))
            listed = await objects.list("Pod")
            assert [one["metadata"]["name"] for one in listed.items] == list(NAMES)
            assert listed.resource_version == str(expires + 1), "of the list that was whole, to watch from"
            assert len(asked.asked) == 2 * expires + 3
            assert all("limit=" in call for call, _ in asked.asked)
        async with answering(tmp_path, server(expires)) as (api, asked):
            objects = KubernetesObjects(api, ServedKinds(api))
            assert await projected(objects, "Pod", lambda one: str(one["metadata"]["name"])) == list(NAMES)
            assert all("limit=" in call for call, _ in asked.asked)


@in_virtual_asyncio_time
async def test_it_does_not_begin_again_for_ever(tmp_path: Path) -> None:
    async with answering(tmp_path, server(1000)) as (api, asked):
        objects = KubernetesObjects(api, ServedKinds(api))
        with pytest.raises(Unavailable, match="takes longer than the cluster keeps its versions"):
            await objects.list("Pod")
        assert len(asked.asked) == 2 * TRIES
