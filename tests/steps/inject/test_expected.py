"""What is expected of a responder on a node: by what its agent says, and on a real sandbox."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from offbus_agent.catalogue.plane import Plane
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from offbus_steps.deploy.step_types import DEPLOY
from offbus_steps.inject.expected import Expected, expected_anywhere, expected_of
from offbus_steps.inject.remediation_checks import remediation_checks
from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel.deployed import Deployed
from offbus_steps.observe.step_types import AWAIT_CORDON, AWAIT_DETECTION
from tests.kits.steps.bench import bench, pods_of

GPU_A, GPU_B = "GPU-a", "GPU-b"
UNLISTED = "and lists not GPU-b"
KERNEL = [Plane.KERNEL]


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


def health(driver: str = "580.82.07", **responder: Any) -> dict[str, Any]:
    gpus = [{"uuid": one, "driver": driver} for one in (GPU_A, GPU_B)]
    return {"gpus": gpus, "responder": {"metadata": True, "driver": driver, "gpus": [GPU_A], **responder}}


def lines(*expected: Expected, xid: int = 119) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in remediation_checks("s", xid, expected, Deployed())][
        : len(expected)
    ]


class TestWhatAnAgentSays:
    """`GET /health`."""

    def test_a_listed_gpu_is_reset_and_another_one_s_node_rebooted(self) -> None:
        assert expected_of(119, "n", [GPU_A], health()).actions == ("COMPONENT_RESET",)
        other = expected_of(119, "n", [GPU_B], health())
        assert (other.actions, UNLISTED in other.basis) == (("RESTART_VM",), True)
        assert expected_of(119, "n", [GPU_A, GPU_B], health()).actions == ("COMPONENT_RESET", "RESTART_VM")

    def test_what_does_not_depend_on_the_node_has_no_basis(self) -> None:
        for xid, action in ((79, "RESTART_BM"), (94, "NONE"), (74, "CONTACT_SUPPORT"), (145, "NONE")):
            assert expected_of(xid, "n", [GPU_B], {"gpus": []}) == Expected("n", (action,))

    def test_an_agent_of_an_older_version_does_not_say(self) -> None:
        found = expected_of(144, "n", [GPU_A], {"gpus": [{"uuid": GPU_A}]})
        assert set(found.actions) == {"NONE", "COMPONENT_RESET", "RESTART_VM"}
        assert "does not tell what its monitor knows" in found.basis

    def test_a_file_that_is_newer_than_the_monitor_makes_a_reset_a_reboot(self) -> None:
        assert expected_of(119, "n", [GPU_A], health()).possible == ("COMPONENT_RESET", "RESTART_VM")
        assert expected_of(79, "n", [GPU_A], health()).possible == ("RESTART_BM",)

    def test_no_line_no_answer(self) -> None:
        found = expected_anywhere(144, "n", [Plane.CUDA], "why")
        assert (found.actions, found.cordons, found.possible) == ((), False, ())

    @pytest.mark.parametrize("answer", [{"gpus": None, "driver": None}, {"gpus": "x"}, {"metadata": "yes"}])
    def test_an_answer_of_another_shape_is_no_error(self, answer: dict[str, Any]) -> None:
        assert expected_of(119, "n", [GPU_B], health(**answer)).actions == ("RESTART_VM",)


class TestPlan:
    """The words of the preflight check."""

    def test_a_line_that_the_monitor_reads_by_another_layout_is_not_fatal(self) -> None:
        none = expected_of(144, "node-1", [GPU_A], health(metadata=False, driver="", gpus=[]))
        ((level, text),) = lines(none, xid=144)
        assert level == "info"
        assert text.startswith("XID 144 (NVLINK_SAW_ERROR): not fatal for NVSentinel")
        assert "(node-1: the node has no metadata file" in text

    def test_what_cannot_be_told_is_a_warning_with_every_action(self) -> None:
        ((level, text),) = lines(expected_anywhere(144, "the node", KERNEL, "why so"), xid=144)
        assert level == "warning"
        assert "either not fatal for NVSentinel, or NVSentinel cordons and drains the node" in text
        assert "then COMPONENT_RESET or RESTART_VM; a synthetic XID never clears by itself" in text
        assert text.endswith("(the node: why so)")

    def test_nodes_of_different_answers_have_a_line_each(self) -> None:
        one = expected_of(119, "node-1", [GPU_A], health())
        two = expected_of(119, "node-2", [GPU_B], health())
        first, second = lines(one, two)
        assert "then COMPONENT_RESET;" in first[1]
        assert "(node-1: " in first[1]
        assert "then RESTART_VM;" in second[1]
        assert "(node-2: " in second[1]

    def test_a_reset_is_real_where_the_reboot_that_it_may_become_is(self) -> None:
        class Asked(Deployed):
            def real(self, action: str) -> list[str]:
                return [f"{action} is real"] if action == "RESTART_VM" else []

        expected = expected_of(119, "n", [GPU_A], health())
        told = [one.text for one in remediation_checks("s", 119, [expected], Asked())]
        assert told[1:] == ["real remediation: RESTART_VM is real"]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout.of(tmp_path / "sandbox")
    yield layout
    anyio.run(stop, layout)


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("metadata", [True, False])
async def test_an_nvlink5_line_gets_the_answer_that_was_expected(
    sandbox: Layout, tmp_path: Path, metadata: bool
) -> None:
    """Without the metadata file the monitor takes a driver of the newest branch for one before R575."""
    (tmp_path / "target.yaml").write_text(yaml.safe_dump(pods_of("target", 1)))
    version = "570.133.20" if metadata else "580.82.07"
    config = SandboxConfig(nodes=2, gpus_per_node=1, driver_version=version, gpu_metadata=metadata)
    await start(sandbox, config)
    async with bench(sandbox, tmp_path) as one:
        target = (await one.run(DEPLOY, manifest="target.yaml", port=8000)).target
        patience = timedelta(seconds=2) if metadata else timedelta(hours=1)
        out = await one.run(INJECT_XID, target=target, xid=144, patience=patience)
        assert out.fault.actions == (["COMPONENT_RESET"] if metadata else ["NONE"])
        await one.run(AWAIT_DETECTION, fault=out.fault)
        if metadata:
            await one.run(AWAIT_CORDON, fault=out.fault)
        word = "(0x00000021 " if metadata else "(0x00000001 "
        assert word in (sandbox.node(out.node) / "kmsg").read_text()
        undo = next(undo for undo in one.undos if isinstance(undo, ClearConsequences))
        assert undo.expected is metadata
        await one.undo_all()
        assert "GPU reset" not in (sandbox.node(out.node) / "kmsg").read_text() or metadata
