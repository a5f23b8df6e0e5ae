"""A secret that was planted in a variable, a file and an input is in no file and no stream of a run, failed or not."""

import base64
import json
from pathlib import Path

import pytest

from tests.kits.drill.playing import Offbus, copy_targets

IN_ENVIRONMENT, IN_FILE = "planted-in-a-variable-7f3c", "planted-in-a-file-91ab"
IN_KUBECONFIG = {
    "token": "planted-token-5e1c",
    "password": "planted-password-c07d",
    "client-key-data": base64.b64encode(b"planted-client-key-22ab").decode(),
    "exec": "planted-for-a-plugin-9f31",
}
USERS: dict[str, dict[str, object]] = {
    "token": {"token": IN_KUBECONFIG["token"]},
    "password": {"username": "drill", "password": IN_KUBECONFIG["password"]},
    "client-key-data": {
        "client-certificate-data": base64.b64encode(b"no certificate").decode(),
        "client-key-data": IN_KUBECONFIG["client-key-data"],
    },
    "exec": {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/bin/sh",
            "args": ["-c", 'echo "who knows $GIVEN" >&2; exit 1'],
            "env": [{"name": "GIVEN", "value": IN_KUBECONFIG["exec"]}],
            "interactiveMode": "Never",
        }
    },
}
DRILL = """\
offbus: 1
name: planted
inputs: {variable: {type: secret}, file: {type: secret}}
steps:
  - {id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml}}
  - id: works
    uses: verify_inference
    with:
      requests: 2
      model: "MODEL"
      headers: {x-api-key: "${{ inputs.variable }}", X-Other: "${{ inputs.file }}"}
    expect: ["outputs.success_rate == 1.0"]
"""


@pytest.mark.parametrize("fails", [False, True], ids=["good", "failed"])
def test_a_planted_secret_is_found_nowhere(
    offbus: Offbus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setenv("PLANTED", IN_ENVIRONMENT)
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_text(f"{IN_FILE}\n")
    drills = tmp_path / "drills"
    drills.mkdir()
    copy_targets(drills)
    model = '      model: "no-such-model"\n' if fails else ""
    (drills / "drill.yaml").write_text(DRILL.replace('      model: "MODEL"\n', model))
    (drills / "inputs.yaml").write_text(f"file: {{from_file: {secret}}}\n")
    options = ("--set", "variable=from_env:PLANTED", "--inputs", str(drills / "inputs.yaml"))
    finished = offbus.run(drills / "drill.yaml", *options)
    works = finished.step("works")
    assert works["outcome"] == ("errored" if fails else "passed"), finished.output
    shown = [
        offbus.call(*command, drills / "drill.yaml", *more, *options)
        for command, more in (
            (["plan", "--offline"], ["--format", "json"]),
            (["plan", "--offline"], []),
            (["validate"], ["--format", "json"]),
        )
    ]
    streams = finished.output + "".join(one.stdout + one.stderr for one in shown)
    assert "from_env:PLANTED" in streams
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != secret]
    assert any(path.name == "journal.jsonl" for path in files)
    for planted in (IN_ENVIRONMENT, IN_FILE):
        assert planted not in streams
        assert [path for path in files if planted.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("planted", list(USERS))
def test_what_a_kubeconfig_holds_is_found_nowhere_when_its_server_does_not_answer(
    offbus: Offbus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    drills = tmp_path / "drills"
    drills.mkdir()
    copy_targets(drills)
    steps = "  - {id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml}}\n"
    (drills / "drill.yaml").write_text(
        f"offbus: 1\nname: planted\nenvironment: {{uses: kubernetes}}\nsteps:\n{steps}"
    )
    kubeconfig = tmp_path / "elsewhere" / "config"
    kubeconfig.parent.mkdir()
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "https://drill:PLANTED@127.0.0.1:9"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": USERS[planted]}],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    finished = offbus.call("run", drills / "drill.yaml", "--view", "lines")
    assert finished.returncode == 3, finished.stdout + finished.stderr
    streams = finished.stdout + finished.stderr
    assert planted != "exec" or "who knows" in streams
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != kubeconfig]
    for text in (IN_KUBECONFIG[planted], "planted-client-key-22ab", "PLANTED"):
        assert text not in streams
        assert [path for path in files if text.encode() in path.read_bytes()] == []
