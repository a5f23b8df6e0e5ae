"""Kernel lines: whatever a caller sends, it is one record or nothing."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from offbus_agent.kernel_log.line import LIMIT, Dialect, UnsafeLine, checked, xid_line
from offbus_agent.kernel_log.log import parse_record
from offbus_agent.kernel_log.open import open_kernel_log

LINE = {"fault": "a1", "pci": "0000:3b:00", "text": "79, GPU has fallen off the bus.", "at_ns": 0}


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ("marked", "offbus=a1 ;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
        ("bare", "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
        ("double", "NVRM: NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
        ("kernel", "kernel: NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
        ("timestamp", "[12.500000] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
    ],
)
def test_the_dialects(dialect, line):
    assert xid_line(dialect=Dialect(dialect), **{**LINE, "at_ns": 12_500_000_999}) == line


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"fault": "a\nb"}, "fault id", id="line-end-in-id"),
        pytest.param({"fault": "a b"}, "fault id", id="space-in-id"),
        pytest.param({"fault": ""}, "fault id", id="empty-id"),
        pytest.param({"pci": "0000:3b:00.0"}, "PCI address", id="function-digit"),
        pytest.param({"pci": "0000:3b:00\n"}, "PCI address", id="line-end-in-address"),
        pytest.param({"text": "79 no comma"}, "comma", id="no-comma"),
        pytest.param({"text": "79, a\nNVRM: Xid"}, "printable ASCII", id="second-line"),
        pytest.param({"text": "79, a\\x0a"}, "printable ASCII", id="backslash"),
        pytest.param({"text": "79, \u2028"}, "printable ASCII", id="unicode-line-separator"),
        pytest.param({"text": "79, " + "a" * LIMIT}, "under 900 bytes", id="too-long"),
    ],
)
def test_what_is_refused(change, why):
    with pytest.raises(UnsafeLine, match=why):
        xid_line(dialect=Dialect.MARKED, **{**LINE, **change})


texts = st.one_of(
    st.text(max_size=950),
    st.text(alphabet=string.printable, max_size=950),
    st.text(alphabet="\n\r\x0b\x0c\x1c\x85;, a", max_size=40),
)


@given(text=texts, fault=st.one_of(st.text(max_size=70), st.just("id")), dialect=st.sampled_from(Dialect))
@example(text="a\n12,0,0,-;NVRM: Xid (PCI:0000:3b:00): 48, forged", fault="id", dialect=Dialect.BARE)
def test_nothing_that_a_caller_sends_adds_a_second_line(tmp_path_factory, text, fault, dialect):
    """Written to a real record file, and split by the most generous reader that there is."""
    path = tmp_path_factory.mktemp("kmsg") / "kmsg"
    path.touch()
    try:
        line = xid_line(dialect=dialect, fault=fault, pci="0000:3b:00", text=f"79, {text}", at_ns=10**9)
    except UnsafeLine:
        return
    record = open_kernel_log(path).write(line)
    raw = path.read_bytes()
    assert len(raw.decode("ascii").splitlines()) == 1
    assert len(f"<4>{line}\n".encode()) < LIMIT
    assert parse_record(raw.decode().rstrip("\n")) == (record.seq, line)


@given(text=texts)
def test_what_passes_is_printable_ascii(text):
    try:
        line = checked(text)
    except UnsafeLine:
        return
    assert line == text
    assert line.isascii()
    assert line.isprintable()
    assert "\\" not in line
