"""One table: what NVSentinel recommends for each XID. Catalogue, `plan`, docs and stand-in say the same.

The right values stand here, from NVIDIA's sheet as NVSentinel maps it, and from the real monitor, which was seen to
answer every one of the 172 so: where the metadata lists the GPU and has the driver's version, and without the file.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.nvlink5 import branch
from offbus_agent.catalogue.responder_action import Monitor
from offbus_sandbox.responder.detector.gpu_metadata import MetadataFile
from offbus_sandbox.responder.detector.xid_monitor import XidMonitor
from offbus_steps.inject.expected import expected_of
from offbus_steps.inject.remediation_checks import remediation_checks
from offbus_steps.nvsentinel.deployed import Deployed
from tests.kits import REPOSITORY

UUID, PCI = "GPU-4c6a1b2c-0000-4000-8000-00000000000a", "0000:3b:00"
BEFORE_R575, FROM_R575 = "570.133.20", "580.82.07"

NONE = """8 11 13 14 25 31 32 37-41 43-45 60 63 66-72 75-77 80 82-86 88 89 92-94 96-108 121 126-135 137 139 141 152 153
    157 160 161"""
COMPONENT_RESET = "46 48 62 64 95 109 110 119 120 136 140 143 154-156 158"
"""154 by the text that we write, which asks for a reset."""
RESTART_VM = "151"
RESTART_BM = "79"
CONTACT_SUPPORT = """1-7 9 10 12 15-24 26-30 33-36 42 47 49-59 61 65 73 74 78 81 87 90 91 111-118 122-125 138 142 159
    162-172"""


def numbers(text: str) -> Iterator[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


ALWAYS = {
    number: action
    for action, listed in (
        ("NONE", NONE),
        ("COMPONENT_RESET", COMPONENT_RESET),
        ("RESTART_VM", RESTART_VM),
        ("RESTART_BM", RESTART_BM),
        ("CONTACT_SUPPORT", CONTACT_SUPPORT),
    )
    for number in numbers(listed)
}
"""Where the driver does not matter, and the metadata lists the GPU."""
FATAL_NVLINK5 = (144, 146, 149)
"""In the layout that the monitor does not assume, they match no rule."""
CASES = [(known, driver) for known in (True, False) for driver in (BEFORE_R575, FROM_R575)]


def right(number: int, *, known: bool, driver: str, read_as: str | None = None) -> str:
    """The action on a node of that driver. `read_as`: the driver that the metadata has, if it is another one."""
    assumed = (read_as or driver) if known else BEFORE_R575
    if number in (145, 147, 148):
        return "NONE"
    if number in FATAL_NVLINK5 and assumed != driver:
        return "NONE"
    action = "COMPONENT_RESET" if number in (*FATAL_NVLINK5, 150) else ALWAYS[number]
    return "RESTART_VM" if action == "COMPONENT_RESET" and not known else action


def monitor_of(root: Path, *, known: bool, driver: str) -> XidMonitor:
    """The stand-in's, on a node with that metadata."""
    path = root / "var/lib/nvsentinel/gpu_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if known:
        gpus = [{"gpu_id": 0, "uuid": UUID, "pci_address": f"{PCI}.0"}]
        path.write_text(json.dumps({"version": "1.0", "driver_version": driver, "gpus": gpus}))
    return XidMonitor("node-1", MetadataFile(root).current, only_known_gpus=False)


def health_of(*, known: bool, driver: str, read_as: str | None = None) -> dict[str, object]:
    """What the agent of such a node says."""
    responder = (
        {"metadata": True, "driver": read_as or driver, "gpus": [UUID]}
        if known
        else {"metadata": False, "driver": "", "gpus": []}
    )
    return {"gpus": [{"uuid": UUID, "driver": driver}], "responder": responder}


def documented() -> dict[int, list[str]]:
    """XID -> the four actions in the docs' table, in the order of CASES."""
    page = (REPOSITORY / "docs/reference/xids.md").read_text(encoding="utf-8")
    row = r"^\| ([0-9]+) \|[^|]*\|[^|]*\| (\w+) \| (\w+) \| (\w+) \| (\w+) \|$"  # number, name, severity, actions
    rows = re.findall(row, page, re.MULTILINE)
    return {int(number): actions for number, *actions in rows}


def test_the_right_values_are_given_for_every_xid() -> None:
    assert sorted([*ALWAYS, *range(144, 151)]) == list(range(1, 173)) == list(catalogue())


@pytest.mark.parametrize(("known", "driver"), CASES)
def test_catalogue_plan_docs_and_stand_in_agree_on_every_xid(
    tmp_path: Path, known: bool, driver: str
) -> None:
    monitor = monitor_of(tmp_path, known=known, driver=driver)
    pages = documented()
    for number, entry in catalogue().items():
        action = right(number, known=known, driver=driver)
        version = driver if known else ""
        assert entry.action(Monitor.of(version, lists_gpu=known), writer=branch(driver)) == action, number
        text = entry.text_on(branch(driver)).format(gpu=0)
        event = monitor.process(f"offbus=t ;NVRM: Xid (PCI:{PCI}): {text}")[0]
        assert (event.recommendedAction.name, event.isFatal) == (action, action != "NONE"), number
        assert set(event.errorCode) <= set(entry.error_codes), number
        assert pages[number][CASES.index((known, driver))] == action, number
        expected = expected_of(number, "node-1", [UUID], health_of(known=known, driver=driver))
        assert expected.actions == (action,), number
        first = next(remediation_checks("step s", number, [expected], Deployed())).text
        foretold = re.findall(r"then (\w+);", first)
        assert foretold == ([] if action == "NONE" else [action]), first


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("read_as", [BEFORE_R575, FROM_R575])
@pytest.mark.parametrize("layout", [BEFORE_R575, FROM_R575])
@pytest.mark.parametrize("number", range(144, 151))
def test_nvlink5_lines_in_both_layouts_for_monitors_that_assume_either(
    tmp_path: Path, number: int, layout: str, read_as: str, known: bool
) -> None:
    action = right(number, known=known, driver=layout, read_as=read_as)
    entry = catalogue()[number]
    monitor = monitor_of(tmp_path, known=known, driver=read_as)
    (event,) = monitor.process(f"offbus=t ;NVRM: Xid (PCI:{PCI}): {entry.text_on(branch(layout))}")
    assert event.recommendedAction.name == action
    health = health_of(known=known, driver=layout, read_as=read_as)
    assert expected_of(number, "node-1", [UUID], health).actions == (action,)
