"""A drill's repair that is still to come is told, also when its node was replaced or its agent forgot the fault."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.port import Ref
from tests.kits.steps.responder_marks import repair
from tests.kits.steps.timed_port import error, node, put, timed_bench
from tests.kits.virtual_time import in_virtual_time

REBOOT = "RebootNode/maintenance-node-1-e1"


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize("left", [True, False], ids=["left", "none"])
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "forgotten"])
@in_virtual_time
async def test_a_repair_that_is_still_to_come_is_told(tmp_path: Path, replaced: bool, left: bool) -> None:
    """A janitor goes by the node's name: it would have the new node rebooted for the old one's drill."""
    async with timed_bench(tmp_path, node("node-1")) as (one, port):

        async def forgotten(_method: str, path: str, _body: object) -> object:
            return error(404, "no_such_fault")

        port.agents.answer = forgotten  # type: ignore[assignment]
        undo = ClearConsequences.before(
            port.store.get(Ref("Node", "node-1")),
            fault="f",
            cause=Cause.of(79, ["GPU-1"], []),
            expected=False,
            patience=timedelta(seconds=1),
            maintenance=(),
        )
        if replaced:
            port.store.remove(Ref("Node", "node-1"))
            put(port.store, node("node-1"))
        if left:
            put(port.store, repair("e1"))
        with anyio.fail_after(300):
            result = await one.undo(undo, within_s=200)
        assert (result.result, REBOOT in result.detail) == (
            ("conflict", True) if left else ("nothing", False)
        )
