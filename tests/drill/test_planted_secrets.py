"""A secret that was planted in a variable, a file and an input is in no file and no stream of a run, failed or not."""

from pathlib import Path

import pytest

from tests.kits import REPOSITORY
from tests.kits.drill.playing import Offbus

TARGETS = REPOSITORY / "scenarios" / "targets"
IN_ENVIRONMENT, IN_FILE = "planted-in-a-variable-7f3c", "planted-in-a-file-91ab"
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
    (drills / "targets").symlink_to(TARGETS)
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
