"""The helper's fuzzer, briefly: a packet, a process's files and a pod's folder may hold anything."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.kits.fuzz import in_c
from tests.kits.fuzz.corpus import kept_in

FUZZED_INPUTS = 5000

pytestmark = pytest.mark.timeout(600)
"""A watchdog: on an idle machine it takes some seconds."""


def test_a_fuzzer_that_follows_the_code_breaks_nothing(tmp_path: Path) -> None:
    if why := in_c.missing():
        pytest.skip(why)
    try:
        program = in_c.build("kmsg_helper", tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("clang has no libFuzzer: apt install libclang-rt-dev")
    for folder in ("node", "new"):
        (tmp_path / folder).mkdir()
    limits = [f"-runs={FUZZED_INPUTS}", "-seed=1", "-max_len=8192", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [program, *limits, tmp_path / "new", kept_in("kmsg_helper")],
        env={**os.environ, "OFFBUS_FUZZ_ROOT": str(tmp_path / "node")},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {FUZZED_INPUTS} runs" in done.stderr
