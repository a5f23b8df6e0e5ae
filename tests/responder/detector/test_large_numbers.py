"""The stand-in refuses the numbers that the real monitor refuses: those that a Go int does not hold, and no others."""

import pytest

from offbus_sandbox.responder.detector.xid_line import parse_xid


@pytest.mark.parametrize(
    ("number", "is_xid"),
    [
        ("999", True),
        ("9223372036854775807", True),
        ("9223372036854775808", False),
        ("9" * 5000, False),
        ("٣", False),
    ],
    ids=["three digits", "the largest", "one more", "5,000 digits", "digits that are not Go's"],
)
def test_a_number_counts_as_far_as_go_reads_it(number: str, is_xid: bool) -> None:
    report = parse_xid(f"NVRM: Xid (PCI:0000:3b:00): {number}, x")
    assert (report is not None and report.code == number) == is_xid
