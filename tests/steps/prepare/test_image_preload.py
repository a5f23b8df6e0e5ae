"""An LD_PRELOAD that no object names is read off the running process, and chained."""

import json
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.cluster.wait import target_objects
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.prepare.image_env import image_preloads
from offbus_steps.prepare.step_types import PREPARE_CUDA
from tests.kits.steps.bench import bench, pods_of
from tests.kits.watching import watch_until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SANDBOX = SandboxConfig(nodes=1, gpus_per_node=2, responder=None)
"""One node with two GPUs, a real agent, and no responder."""

FROM_IMAGE = """
import os, signal, sys
if "LD_PRELOAD" not in os.environ:  # as an image's ENV does, where the pod's spec says nothing
    os.environ["LD_PRELOAD"] = sys.argv[1]
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
open(sys.argv[2], "w").write(os.environ["LD_PRELOAD"])
signal.pause()
"""


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


def imaged(folder: Path, library: str) -> None:
    """A manifest of one pod whose process has an LD_PRELOAD that no object names; it says which, once it has it."""
    obj: dict[str, Any] = pods_of("imaged", 1)
    container = obj["spec"]["template"]["spec"]["containers"][0]
    said = folder / "said"
    container["command"] = ["python3", "-c", FROM_IMAGE, library, str(said)]
    (folder / "target.yaml").write_text(json.dumps(obj))


@pytest.fixture
def library(tmp_path: Path) -> str:
    """A library that can be preloaded: the C library's own, under another name."""
    found = next(Path("/lib").glob("*-linux-gnu/libm.so.6"))
    (tmp_path / "libimage.so").symlink_to(found)
    return str(tmp_path / "libimage.so")


async def said(folder: Path) -> str:
    await watch_until(folder, lambda: (folder / "said").exists() and bool((folder / "said").read_text()))
    return (folder / "said").read_text()


@pytest.mark.guarantee("G20")
async def test_what_only_the_image_preloads_is_chained(sandbox: Layout, tmp_path: Path, library: str) -> None:
    imaged(tmp_path, library)
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        assert await said(tmp_path) == library
        found = await image_preloads(one.cluster, await target_objects(one.cluster, target))
        assert {name: told.value for name, told in found.items()} == {"main": library}
        (tmp_path / "said").unlink()
        await one.run(PREPARE_CUDA, target=target)
        loaded = await said(tmp_path)
        assert loaded.endswith(f"/run/offbus/lib/liboffbus.so:{library}")
        await one.undo_all()


@pytest.mark.guarantee("G21")
async def test_a_process_that_nobody_finds_is_refused_before_anything_is_touched(
    sandbox: Layout, tmp_path: Path
) -> None:
    (tmp_path / "target.yaml").write_text(json.dumps(pods_of("plain", 1)))
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        (pod,) = await target_objects(one.cluster, target)
        assert await image_preloads(one.cluster, [pod]) == {}
        ghost = {**pod, "metadata": {**pod["metadata"], "uid": "00000000-0000-4000-8000-000000000000"}}
        with pytest.raises(StepError, match="the agent finds no process of it") as raised:
            await image_preloads(one.cluster, [ghost])
        assert "as a plain value" in str(raised.value)
        await one.undo_all()
