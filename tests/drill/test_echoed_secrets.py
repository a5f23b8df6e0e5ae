"""A target repeats the secrets that it was sent, in any spelling, in its answers and in its pod's log."""

import json
from pathlib import Path

import pytest

from tests.kits.drill.playing import Offbus

SHORT = """sk+LIVE/1'"<begins>"""
LONG = f"{SHORT}-and-goes-on"
SERVER = r"""
import base64, html, http.server, json, os, urllib.parse
class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        key = self.headers["x-key"]
        spelt = [
            key, repr(key), key.replace("/", "\\/"), html.escape(key), urllib.parse.quote(key, safe=""),
            json.dumps(json.dumps(key)), "".join("\\u%04X" % ord(one) for one in key),
            base64.b64encode(f"user:{key}".encode()).decode(),
        ]
        for one in spelt:
            print("DEBUG x-key:", one, flush=True)
        body = " and ".join(spelt[int(self.headers["x-turn"])::4]).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8000), Echo).serve_forever()
"""
TARGET = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo, namespace: drill-a}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      containers:
        - name: main
          image: echo
          command: [python3, -u, -c, {json.dumps(SERVER)}]
          env: [{{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}]
          ports: [{{containerPort: 8000}}]
          readinessProbe: {{tcpSocket: {{port: 8000}}, periodSeconds: 1}}
"""
ASKS = """\
  - id: {name}{turn}
    uses: verify_inference
    with: {{requests: 2, model: m, expect: failure, headers: {{x-key: "${{{{ inputs.{name} }}}}", x-turn: "{turn}"}}}}
"""
DRILL = (
    """\
offbus: 1
name: echoed
inputs: {short: {type: secret}, long: {type: secret}}
environment: {uses: local}
steps:
  - {id: deploy, uses: deploy, with: {manifest: echo.yaml}}
"""
    + "".join(ASKS.format(name=name, turn=turn) for name in ("short", "long") for turn in range(4))
    + "  - {id: last, uses: verify_inference, with: {requests: 1, model: m, expect: success, "
    'headers: {x-key: "${{ inputs.short }}", x-turn: "2"}}}\n'
)
TRACES = (
    "sk+LIVE",
    "LIVE/1",
    "LIVE\\/1",
    "LIVE%2F1",
    "goes-on",
    "TElWRS",
    "\\u004C\\u0049\\u0056\\u0045",
    "xJVkU",
    "MSVZFL",
)
"""Of the secrets, in each spelling; the base64 of "LIVE" begins at any of three places."""


def test_what_a_target_repeats_of_a_secret_is_in_no_file_and_no_stream(
    offbus: Offbus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drills = tmp_path / "drills"
    drills.mkdir()
    (drills / "echo.yaml").write_text(TARGET)
    (drills / "drill.yaml").write_text(DRILL)
    monkeypatch.setenv("SHORT", SHORT)
    monkeypatch.setenv("LONG", LONG)
    given = ("--set", "short=from_env:SHORT", "--set", "long=from_env:LONG")
    finished = offbus.run(drills / "drill.yaml", *given)
    assert finished.step("last")["outcome"] == "failed", finished.output
    assert "(a secret)" in finished.step("last")["message"]
    (log,) = finished.folder.rglob("echo-*.log")
    assert log.read_text().count("DEBUG x-key:") == 8 * 17
    kept = [path for path in offbus.home.rglob("*") if path.is_file() and drills not in path.parents]
    shown = {str(path): path.read_bytes().decode(errors="replace") for path in kept} | {"": finished.output}
    assert [(where, one) for where, text in shown.items() for one in TRACES if one in text] == []
