"""Which paths the webhook answers: its own, and no redirect to where a request wants to be led."""

import httpx
import pytest

from offbus_steps.kubernetes.webhook.server import application
from tests.kits.virtual_time import in_virtual_asyncio_time


@pytest.mark.parametrize("path", ["/healthz/", "/load//", "/nope"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@in_virtual_asyncio_time
async def test_what_it_does_not_know_is_redirected_nowhere(method: str, path: str) -> None:
    transport = httpx.ASGITransport(app=application())
    async with httpx.AsyncClient(transport=transport, base_url="https://elsewhere.example") as client:
        reply = await client.request(method, path)
    assert 400 <= reply.status_code < 500
    assert "location" not in reply.headers
