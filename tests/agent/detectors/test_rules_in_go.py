"""Python reads the detectors' patterns as their own engine does: every rule on every line, beside Go's regexp package.

The detectors themselves cannot be had as Go modules, so their engine is what can be run of them.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from offbus_agent.conformance import faults
from offbus_agent.detectors.journald import Record, journal_entry
from offbus_agent.detectors.rules import detectors
from offbus_agent.kernel_log.line import Dialect, driver_line
from tests.kits.detectors.go_engine import go_matches, has_go

HOSTILE = [
    *("", "NVRM: Xid (PCI:0000:3b:00): 79", "NVRM: Xid (PCI:0000:3b:00.0): 79, x", "NVRM: Xid (PCI:): 79, x"),
    *(
        "NVRM: Xid (PCI:0000:3b:00): ٣, x",
        "NVRM: Xid (0000:3b:00): 79, x",
        "NVRM: Xid (PCI:0000:3b:00) : 79, x",
    ),
    *("NVRM: Xid (PCI:0000:3b:00): 79, a\nNVRM: Xid (PCI:0000:3b:00): 13, b", "SXid SXid (PCI:x): 1, 2, 3,"),
    "NVRM: The NVIDIA GPU 0000:b3:00.0\nNVRM: (PCI ID)\nNVRM: fallen off the bus and is not responding to commands.",
    "NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.",
    "NVRM: GPU at PCI:0000:3b:00: GPU-0b6b1b2c-0000-4000-8000-0123456789ab",
    "GPU reset executed: GPU-0b6b1b2c-0000-4000-8000-0123456789ab, success: false",
]


def texts() -> list[str]:
    """Every fault's line in every dialect: the raw record, its text, what journald makes of it; and hostile ones."""
    found = []
    for fault in faults():
        for dialect in Dialect if fault.text else ():
            line = driver_line(dialect=dialect, fault="7f3a91", line=fault.text, at_ns=6_085_126_134_786_000)
            record = Record(1, 4, 342, 967340127, line)
            found += [f"12,342,967340127,-;{line}", line, journal_entry(record).message]
    return [*dict.fromkeys(found), *HOSTILE]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not has_go(), reason="there is no Go to build with")
@pytest.mark.timeout(900)
def test_every_rule_finds_the_same_in_go_and_here(tmp_path: Path) -> None:
    rules = [(rule, text) for one in detectors() for rule in one.rules for text in texts()]
    around = {"text": "{}", "record": "^(?:{})$", "end": r"(?:{})\z"}
    in_go = go_matches([(around[rule.applied].format(rule.pattern), text) for rule, text in rules], tmp_path)
    assert any(in_go), "something is found at all"
    for (rule, text), theirs in zip(rules, in_go, strict=True):
        found = replace(rule, only="").match(text, text)  # which numbers count is looked at after the match
        ours = None if found is None else [found[0], *(group or "" for group in found.groups())]
        assert ours == theirs, (rule.name, text)
