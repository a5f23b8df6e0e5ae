"""The XIDs of the published guides, and all of NVLink 5, as whole drills: each with the verdict that is right for it.

The right answers stand in tests/responder/test_actions_agree.py; here they are played: by the driver's version, which
decides how a line is written, and by the metadata file, without which the monitor knows neither driver nor GPUs.
"""

import os
from pathlib import Path

import pytest

from tests.kits.drill.drill_world import up
from tests.kits.drill.playing import Offbus
from tests.responder.test_actions_agree import BEFORE_R575, CASES, right

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(900)]

SCENARIO = Path(__file__).with_name("xid.yaml")
GUIDES = (31, 43, 48, 74, 79, 94, 95, 119, 120)
NVLINK5 = tuple(range(144, 151)) if os.environ.get("OFFBUS_XIDS") == "all" else (144, 145)
"""Fatal in one layout, and never. `make test-long` plays all of them."""


def play(offbus: Offbus, number: int, action: str) -> None:
    """Play one. `action`: what NVSentinel recommends."""
    cordons, repairs = action != "NONE", action not in ("NONE", "CONTACT_SUPPORT")
    inputs = {"xid": number, "cordons": cordons, "repairs": repairs}
    sets = [word for key, value in inputs.items() for word in ("--set", f"{key}={str(value).lower()}")]
    finished = offbus.run(SCENARIO, *sets)
    assert finished.code == 0, finished.output
    assert finished.report["verdict"] == "passed"
    assert finished.report["residue"] == []
    assert ("time_to_cordon" in finished.report["metrics"]) is cordons
    assert ("time_to_remediate" in finished.report["metrics"]) is repairs
    assert bool(finished.report["needs_attention"]) is (action == "CONTACT_SUPPORT")


def test_the_guides(offbus: Offbus) -> None:
    up(offbus)
    for number in GUIDES:
        play(offbus, number, right(number, known=True, driver=BEFORE_R575))


@pytest.mark.parametrize(("known", "driver"), CASES)
def test_nvlink5(offbus: Offbus, known: bool, driver: str) -> None:
    up(offbus, "--driver-version", driver, *([] if known else ["--no-gpu-metadata"]))
    for number in NVLINK5:
        play(offbus, number, right(number, known=known, driver=driver))
