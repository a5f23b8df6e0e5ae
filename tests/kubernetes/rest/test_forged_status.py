"""Behind a real API server, a target that answers with the server's own `Status` has failed, and is counted so."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from offbus_steps.inference_client.requests import Question, ask
from offbus_steps.port import Ref
from tests.kits.kubernetes.kubernetes_world import port_to, server_of_its_own
from tests.kits.kubernetes.lone_server import ADMIN, ADMISSION
from tests.kits.kubernetes.tunnel import tunnel

pytestmark = pytest.mark.anyio

STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 503, "message": "engine dead"}
LLM = Ref("Pod", "llm-0", "drill")


class Forging(BaseHTTPRequestHandler):
    """Answers all requests with a refusal as the API server writes it."""

    def do_POST(self) -> None:
        body = json.dumps(STATUS).encode()
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def forging() -> Iterator[tuple[str, int]]:
    """While the block runs; where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Forging) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield "127.0.0.1", made.server_port
        finally:
            made.shutdown()
            thread.join()


async def test_a_targets_status_is_a_failed_request_and_no_path_error(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with forging() as listens, tunnel(tmp_path) as paths:
        paths.leads["10.9.0.1:8000"] = listens
        with server_of_its_own(tmp_path / "server", ADMIN, (*ADMISSION, paths.flag)) as server:
            async with port_to(server) as port:
                await port.objects.create(
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LLM.namespace}}
                )
                container = {"name": "c", "image": "x", "ports": [{"containerPort": 8000}]}
                await port.objects.create(
                    {
                        "apiVersion": "v1",
                        "kind": "Pod",
                        "metadata": {"name": LLM.name, "namespace": LLM.namespace},
                        "spec": {"nodeName": "n1", "containers": [container]},
                    }
                )
                ready = {"type": "Ready", "status": "True"}
                address = {"podIP": "10.9.0.1", "podIPs": [{"ip": "10.9.0.1"}]}
                await port.objects.patch(
                    LLM, {"status": {"phase": "Running", "conditions": [ready], **address}}, status=True
                )
                asked = await ask(port.traffic, LLM, 8000, Question("m", "hi", 5, False), 30)
    assert (asked.outcome.good, asked.outcome.path_error) == (False, False)
    assert "engine dead" in asked.why
