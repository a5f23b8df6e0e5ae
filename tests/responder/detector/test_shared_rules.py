"""The stand-in reads by the rules that `offbus conformance` tells, and its profiles are among the releases."""

import pytest

from offbus_agent.conformance import cells, faults
from offbus_agent.detectors.journald import Record, journal_entry
from offbus_agent.detectors.rules import detector
from offbus_agent.kernel_log.line import Dialect, driver_line
from offbus_sandbox.responder.detector.xid_line import parse_xid
from offbus_sandbox.responder.profiles import PROFILES

XIDS = [fault for fault in faults() if fault.kind == "xid"]


@pytest.mark.parametrize("release", ["main-2026-08", "v1.33", "v1.8"])
def test_conformance_says_of_each_xid_what_the_stand_in_sees(release: str) -> None:
    told = {
        (cell.fault, cell.surface): cell.detected
        for cell in cells(XIDS)
        if (cell.detector, cell.release) == ("nvsentinel", release)
    }
    for fault in XIDS:
        for dialect in Dialect:
            line = driver_line(dialect=dialect, fault="7f3a91", line=fault.text, at_ns=1_500_000_000)
            seen = parse_xid(journal_entry(Record(1, 4, 1, 1, line)).message)
            assert (seen is not None) == told[fault.name, dialect.value]
            assert seen is None or seen.number == fault.number


def test_every_profile_of_a_release_is_one_that_conformance_knows() -> None:
    releases = {one.name for one in detector("nvsentinel").releases}
    assert {name for name, one in PROFILES.items() if not one.plays} <= releases
