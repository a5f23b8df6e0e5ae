"""The cluster's cgroups are listed while its pods' come and go."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.cluster import cgroups
from tests.kits.cluster.plan import CGROUP

COMING_AND_GOING = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for number in range(20):
        os.makedirs(f"pod{number}/container")
    for number in range(20):
        os.removedirs(f"pod{number}/container")
"""


def test_a_pod_that_ends_meanwhile_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (node := tmp_path / "memory" / CGROUP / "n1").mkdir(parents=True)
    (node / "stays").mkdir()
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    with subprocess.Popen([sys.executable, "-c", COMING_AND_GOING, str(node)]) as pods:
        try:
            seen = [cgroups.cgroups_left() for _ in range(2000)]
        finally:
            pods.kill()
    assert all({node, node / "stays", node.parent} <= set(folders) for folders in seen)
    assert all(folders[-1] == node.parent for folders in seen), "the innermost come first"
