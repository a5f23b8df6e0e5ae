"""A supervisor that says nothing any more: a watch does not wait for ever, and a quiet one is not taken for that."""

import asyncio
from pathlib import Path

import anyio
import httpx
import pytest

from offbus_sandbox.adapter.objects import SILENT_AFTER_S, LocalObjects
from offbus_sandbox.adapter.port import BASE, LocalPort
from offbus_sandbox.adapter.unix_http import unix_transport
from offbus_sandbox.api.objects import QUIET_S
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start
from offbus_steps.port import Silent, Unavailable, WatchType
from tests.kits.sandbox.local_cluster import QUICK
from tests.kits.virtual_time import in_virtual_asyncio_time

BEGUN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


async def watched(path: Path, answer: bytes) -> float:
    """Watch a supervisor that says no more than this; when that was given up."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writers.append(writer)

    async with await asyncio.start_unix_server(serve, path):
        try:
            async with httpx.AsyncClient(transport=unix_transport(path), base_url=BASE) as client:
                await anext(LocalObjects(client).watch("Pod", resource_version="1"))
        finally:
            for writer in writers:
                writer.close()
    raise AssertionError("it said something")


@pytest.mark.guarantee("G23")
@pytest.mark.timer("sandbox/offbus_sandbox/adapter/objects.py")
@in_virtual_asyncio_time
async def test_a_watch_through_which_nothing_comes_is_silent(tmp_path: Path) -> None:
    with pytest.raises(Silent, match="nothing came for 30 s") as told:
        await watched(tmp_path / "api", BEGUN)
    assert (anyio.current_time(), told.value.silent_s) == (SILENT_AFTER_S, SILENT_AFTER_S)
    assert SILENT_AFTER_S >= 3 * QUIET_S, "two bookmarks may be late"


@pytest.mark.timer("sandbox/offbus_sandbox/adapter/objects.py")
@in_virtual_asyncio_time
async def test_a_watch_that_is_not_answered_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not respond") as told:
        await watched(tmp_path / "api", b"")
    assert not isinstance(told.value, Silent)
    assert anyio.current_time() == SILENT_AFTER_S


@pytest.mark.timer("sandbox/offbus_sandbox/api/objects.py")
@pytest.mark.anyio
async def test_a_quiet_watch_gives_a_sign_of_life(layout: Layout) -> None:
    await start(layout, QUICK)
    async with LocalPort(layout.api) as port:
        version = (await port.objects.list("Lease")).resource_version
        with anyio.fail_after(10 * QUIET_S):
            event = await anext(port.objects.watch("Lease", resource_version=version))
    assert event.type is WatchType.BOOKMARK
    assert int(event.object["metadata"]["resourceVersion"]) >= int(version)
