"""Whose a kernel line is, in every form in which people get a log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_agent.conformance import Fault, faults
from offbus_agent.kernel_log.line import Dialect, driver_line
from offbus_agent.kernel_log.log_forms import read_line
from offbus_agent.kernel_log.recognise import Recognised, recognise

ID = "1a2b3c4d-inject-again-0123456789"
LINE = "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."
MARKED = f"offbus={ID} ;{LINE}"
WRITTEN = [
    pytest.param(fault, id=fault.name) for fault in faults() if fault.text and fault.number in (0, 79, 20034)
]


def of(line: str) -> Recognised | None:
    read = read_line(line)
    return recognise(read) if read is not None else None


def journal(text: object, **fields: object) -> str:
    return json.dumps({"MESSAGE": text, "_TRANSPORT": "kernel", "_HOSTNAME": "n1", **fields})


MARKED_FORMS = {
    "kmsg": f"12,342,967340127,-;{MARKED}",
    "kmsg with more fields": f"12,342,967340127,-,caller=T12;{MARKED}",
    "journalctl -o json": journal(MARKED, SYSLOG_FACILITY="1"),
    "journalctl -o json, bytes": journal(list(MARKED.encode()), SYSLOG_FACILITY="1"),
    "journalctl -o cat": MARKED,
    "journalctl": f"Nov 30 19:27:11 n1 unknown: {MARKED}",
    "journalctl -o short-precise": f"Nov 30 19:27:11.123456 n1 unknown: {MARKED}",
    "journalctl -o short-iso": f"2026-11-30T19:27:11+0000 n1 unknown: {MARKED}",
    "journalctl -o short-iso-precise": f"2026-11-30T19:27:11.123456+00:00 n1 unknown: {MARKED}",
    "journalctl -o short-full": f"Mon 2026-11-30 19:27:11 UTC n1 unknown: {MARKED}",
    "journalctl -o short-monotonic": f"[  967.340127] n1 unknown: {MARKED}",
    "journalctl -o short-unix": f"1796066831.123456 n1 unknown: {MARKED}",
    "a syslog file": f"Nov 30 19:27:11 n1 kernel: [  967.340127] {MARKED}",
    "dmesg": f"[  967.340127] {MARKED}",
    "dmesg -T": f"[Mon Nov 30 19:27:11 2026] {MARKED}",
    "dmesg -e": f"[  +0.000123] {MARKED}",
    "dmesg -x": f"user  :warn  : [  967.340127] {MARKED}",
    "dmesg -r": f"<12>[  967.340127] {MARKED}",
    "dmesg -r of util-linux 2.38": f"<5>[  967.340127] {MARKED}",
    "a kernel that prints callers": f"[  967.340127][   T12] {MARKED}",
}


@pytest.mark.parametrize("line", MARKED_FORMS.values(), ids=MARKED_FORMS)
def test_a_mark_is_recognised_in_every_form(line: str) -> None:
    found = of(line)
    assert found is not None
    assert (found.verdict, found.fault, found.run, found.step) == ("drill", ID, "1a2b3c4d", "inject-again")
    assert (found.kind, found.number, found.location, found.text) == ("xid", 79, "0000:3b:00", MARKED)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        pytest.param(f"4,1,2,-;{LINE}", "driver", id="kmsg-the-driver"),
        pytest.param(f"12,1,2,-;{LINE}", "injected", id="kmsg-bare"),
        pytest.param(f"12,1,2,-;NVRM: {LINE}", "injected", id="kmsg-double"),
        pytest.param(f"12,1,2,-;[6085126.134786] {LINE}", "injected", id="kmsg-timestamp"),
        pytest.param(f"28,1,2,-;{LINE}", "injected", id="kmsg-another-facility"),
        pytest.param(journal(LINE, SYSLOG_FACILITY="0"), "driver", id="json-the-driver"),
        pytest.param(
            journal(LINE, SYSLOG_FACILITY="1", SYSLOG_IDENTIFIER="kernel"), "injected", id="json-kernel"
        ),
        pytest.param(
            journal(LINE[6:], SYSLOG_FACILITY="1", SYSLOG_IDENTIFIER="NVRM"), "injected", id="json-cut"
        ),
        pytest.param(journal(LINE, _TRANSPORT="syslog", SYSLOG_FACILITY="3"), "injected", id="json-logger"),
        pytest.param(f"kern  :warn  : [  1.0] {LINE}", "driver", id="dmesg-x-the-driver"),
        pytest.param(f"user  :warn  : [  1.0] {LINE}", "injected", id="dmesg-x"),
        pytest.param(f"[  1.0] {LINE}", "unknown", id="dmesg"),
        pytest.param(f"<4>[  1.0] {LINE}", "unknown", id="dmesg-r"),
        pytest.param(f"Nov 30 19:27:11 n1 kernel: {LINE}", "unknown", id="short-kernel"),
        pytest.param(f"Nov 30 19:27:11 n1 NVRM: {LINE}", "injected", id="short-double"),
        pytest.param(LINE, "unknown", id="cat"),
        pytest.param(f"4,1,2,-;{MARKED}", "other", id="a-mark-with-the-kernel-s-facility"),
        pytest.param(journal(MARKED, _TRANSPORT="stdout"), "other", id="a-mark-that-a-service-printed"),
        pytest.param(f"12,1,2,-;python3: {MARKED}", "injected", id="a-mark-that-is-not-first"),
        pytest.param("12,1,2,-;offbus=t1 ;x", "drill", id="a-fault-that-no-run-made"),
    ],
)
def test_whose_a_line_is(line: str, verdict: str) -> None:
    found = of(line)
    assert found is not None
    assert found.verdict == verdict
    assert found.why


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            "   ",
            " SUBSYSTEM=pci",
            "12,1,2,-;usb 1-1: new device",
            '{"MESSAGE": null}',
            '{"MESSAGE": [300]}',
        ),
        *("{", "[", '{"MESSAGE": {"a": 1}}', "12,1,2,-;Xid", "offbus= ;x", "[" * 70_000, "{" * 70_000),
    ],
    ids=lambda line: line[:20],
)
def test_a_line_about_no_fault_is_nobody_s(line: str) -> None:
    assert of(line) is None


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("fault", WRITTEN)
def test_every_kind_of_line_in_every_dialect(fault: Fault, dialect: Dialect) -> None:
    line = driver_line(dialect=dialect, fault=ID, line=fault.text, at_ns=1_500_000_000)
    found, own = of(f"12,1,2,-;{line}"), of(f"4,1,2,-;{fault.text}")
    assert found is not None
    assert own is not None
    assert (found.verdict == "drill") == (dialect is Dialect.MARKED)
    assert (found.kind, found.number) == (own.kind, own.number) == (fault.kind, fault.number or None)
    assert own.verdict == "driver"


@given(st.one_of(st.text(max_size=400), st.text(alphabet='[]{}<>,;: "0123NVRMXidoffbus=', max_size=200)))
def test_nothing_is_raised_whatever_a_line_holds(text: str) -> None:
    of(text)
    written = of("12,1,2,-;" + text.replace("\n", ""))
    assert written is None or written.verdict in ("drill", "injected")
