"""Recordings as they would have been made of the real NVSentinel: generated from the times of nvsentinel-observed.md.

A drill is a list of steps, each a moment and the changes of one update of an object; tests change the list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.recordings.fields import (
    ANNOTATION,
    CONDITION,
    CORDONED,
    EVICTED,
    EXISTS,
    FINDINGS,
    LABEL,
    RESPONDER,
    TERMINATING,
)
from offbus_steps.recordings.format import Change, End, Gap, Header, Line, Value, encoded

__all__ = [
    "EXAMPLES",
    "FAULT_AT",
    "HEADER",
    "Step",
    "cancelled",
    "dry_run",
    "lines_of",
    "moved",
    "support",
    "without",
    "write",
    "xid79",
]

HEADER = Header(
    offbus="0.2.0",
    serves="Kubernetes v1.34.4",
    responder=["fault-quarantine main-42672ae"],
    watched=["Event", "Node", "Pod", "RebootNode"],
    unwatched={"ValidationRequest": "not served"},
    nodes=3,
    names=False,
)
FAULT_AT = 5.0
FOUND = "SysLogsXIDError 79 PCI:0000:3b:00 GPU_UUID:gpu-1 action=RESTART_BM"
UNHEALTHY = f"True {names.XID_CHECK}{names.UNHEALTHY_SUFFIX}"
ANNOTATED = ANNOTATION + names.QUARANTINE_EVENTS
STATE = LABEL + names.STATE_LABEL
REBOOT = "RebootNode/rebootnode-1"


@dataclass(frozen=True)
class Step:
    """One update of one object."""

    name: str
    at: float
    """Seconds since the fault."""
    subject: str
    changes: Sequence[tuple[str, Value, Value]]


def _state(at: float, was: Value, to: Value) -> Step:
    return Step(str(to), at, "Node/node-1", [(STATE, was, to)])


def _begin(found: str) -> list[Step]:
    return [
        Step("cordon", 10.1, "Node/node-1", [(CORDONED, False, True), (ANNOTATED, None, found)]),
        Step(
            *("condition", 10.2, "Node/node-1"),
            [(CONDITION + names.XID_CHECK, None, UNHEALTHY), (FINDINGS + names.XID_CHECK, None, found)],
        ),
        _state(10.2, None, NodeState.DRAINING.value),
        Step(
            "eviction",
            10.3,
            "Pod/pod-1",
            [(EVICTED, None, "EvictionByEvictionAPI"), (TERMINATING, None, True)],
        ),
        Step("gone", 12.0, "Pod/pod-1", [(EXISTS, True, None)]),
        _state(20.4, NodeState.DRAINING.value, NodeState.DRAIN_SUCCEEDED.value),
    ]


def _end(last: NodeState) -> list[Step]:
    return [
        Step(
            *("clear", 55.1, "Node/node-1"),
            [
                (CONDITION + names.XID_CHECK, UNHEALTHY, f"False {names.XID_CHECK}{names.HEALTHY_SUFFIX}"),
                (FINDINGS + names.XID_CHECK, FOUND, None),
            ],
        ),
        Step(
            *("uncordon", 55.2, "Node/node-1"),
            [(CORDONED, True, False), (ANNOTATED, FOUND, None), (STATE, last.value, None)],
        ),
    ]


def xid79() -> list[Step]:
    """The drill whose times the page tells: RESTART_BM, carried out by provider kind, cleared from outside."""
    return [
        *_begin(FOUND),
        _state(20.6, NodeState.DRAIN_SUCCEEDED.value, NodeState.REMEDIATING.value),
        Step("requested", 20.7, REBOOT, [(EXISTS, None, RESPONDER)]),
        _state(20.8, NodeState.REMEDIATING.value, NodeState.REMEDIATION_SUCCEEDED.value),
        Step("sent", 20.9, REBOOT, [(CONDITION + names.SIGNAL_SENT, None, "True Succeeded")]),
        Step("done", 24.0, REBOOT, [(CONDITION + "NodeReady", None, "True Succeeded")]),
        *_end(NodeState.REMEDIATION_SUCCEEDED),
    ]


def support(entities: str = "PCI:0000:3b:00 GPU_UUID:gpu-1") -> list[Step]:
    """CONTACT_SUPPORT: a human must act, and did."""
    found = f"SysLogsXIDError 74 {entities} action=CONTACT_SUPPORT"
    failed = _state(20.6, NodeState.DRAIN_SUCCEEDED.value, NodeState.REMEDIATION_FAILED.value)
    return [*_begin(found), failed, *_end(NodeState.REMEDIATION_FAILED)]


def cancelled() -> list[Step]:
    """Somebody uncordons the node while it drains; the responder takes it, the condition stays."""
    taken = [
        (ANNOTATED, FOUND, None),
        (STATE, "draining", None),
        (ANNOTATION + names.MANUALLY_UNCORDONED, None, "True"),
    ]
    return [
        *[one for one in _begin(FOUND) if one.at < 20],
        Step("uncordon", 15.0, "Node/node-1", [(CORDONED, True, False)]),
        Step("taken", 15.2, "Node/node-1", taken),
    ]


def dry_run() -> list[Step]:
    """Marks without a cordon, nothing evicted, nothing requested."""
    return [
        Step("annotated", 10.1, "Node/node-1", [(ANNOTATED, None, FOUND)]),
        Step("condition", 10.2, "Node/node-1", [(CONDITION + names.XID_CHECK, None, UNHEALTHY)]),
        _state(20.8, None, NodeState.REMEDIATION_SUCCEEDED.value),
    ]


def moved(steps: Iterable[Step], name: str, to: float) -> list[Step]:
    """One step at another time."""
    return [Step(one.name, to if one.name == name else one.at, one.subject, one.changes) for one in steps]


def without(steps: Iterable[Step], *left_out: str) -> list[Step]:
    """Some steps did not happen."""
    return [one for one in steps if one.name not in left_out]


def lines_of(
    steps: Iterable[Step],
    *,
    node: str = "node-1",
    begun: float = FAULT_AT,
    gaps: Sequence[float] = (),
    ends: float = 90.0,
) -> list[Line]:
    """The lines of a recording in which the fault was made at `begun`."""
    found: list[Line] = [Gap(at=at, gap="Node objects: silent for 75 s") for at in gaps]
    for one in steps:
        subject, at = one.subject.replace("node-1", node), round(begun + one.at, 3)
        found += [
            Change(at=at, subject=subject, node=node, field=f, was=was, to=to) for f, was, to in one.changes
        ]
    return [*sorted(found, key=lambda line: line.at), End(at=ends, end="SIGINT")]


def write(path: Path, lines: Iterable[Line]) -> Path:
    """A recording with these lines."""
    path.write_bytes(b"".join(map(encoded, (HEADER, *lines))))
    return path


def main() -> None:
    """Write the recordings that tests and docs/observe.md use."""
    folder = Path(__file__).parents[1] / "recordings"
    for name, steps in EXAMPLES.items():
        write(folder / name, lines_of(steps))


EXAMPLES = {"xid79.jsonl": xid79(), "reordered.jsonl": moved(xid79(), "remediating", 20.3)}

if __name__ == "__main__":
    main()
