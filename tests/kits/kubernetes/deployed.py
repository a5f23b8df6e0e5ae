"""What kustomize makes of deploy/'s folders."""

import os
import subprocess
from typing import Any

import pytest
import yaml

from tests.kits import REPOSITORY
from tests.kits.kubernetes.lone_server import Missing, program

__all__ = ["PARTS", "deployed", "pod_templates"]

PARTS = ("base", "gateway", "webhook", "responder")


def deployed(part: str) -> list[dict[str, Any]]:
    """The objects of a folder. Without kubectl, which has kustomize in it, the test is skipped, saying why."""
    try:
        kubectl = program("kubectl")
    except Missing as err:
        if os.environ.get("OFFBUS_TEST_CLUSTER") == "required":
            pytest.fail(str(err))
        pytest.skip(str(err))
    command = [kubectl, "kustomize", str(REPOSITORY / "deploy" / part)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def pod_templates() -> dict[str, dict[str, Any]]:
    """The pods of all folders, by the name of what makes them."""
    objects = [one for part in PARTS for one in deployed(part)]
    found = {one["metadata"]["name"]: one.get("spec", {}).get("template") for one in objects}
    return {name: template for name, template in found.items() if template}
