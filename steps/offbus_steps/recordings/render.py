"""A comparison as text, and as JSON with stable keys. Neither is fit for a terminal yet: it holds what others wrote."""

from collections.abc import Iterator, Sequence
from typing import Any

from offbus_steps.nvsentinel.course import Course
from offbus_steps.recordings.compare import Comparison
from offbus_steps.recordings.format import Recording

__all__ = ["as_json", "as_lines"]


def as_lines(recording: Recording, course: Course, found: Sequence[Comparison]) -> Iterator[str]:
    """Line by line."""
    header = recording.header
    by = ", ".join(header.responder) or "no responder that offbus knows is deployed"
    yield f"{recording.path}: {recording.ended_at:.1f} s on {header.serves}; {by}"
    if recording.torn:
        yield "  its last line is torn and was not read: the recorder was killed"
    for number, one in enumerate(found, start=1):
        about = ", ".join(
            filter(None, (*one.quarantine.actions, one.situation and f"situation {one.situation}"))
        )
        yield (
            f"  {number}. {one.quarantine.node} from line {one.quarantine.begun.line} ({about}): "
            f"{_differences(len(one.differences))} in {one.compared} transitions"
        )
        for each in one.differences:
            yield f"     line {each.line}: {each.kind}: {each.transition}".rstrip(": ")
            yield f"       {course.name}: {each.expected}"
            yield f"       seen: {each.seen}"
            if each.source:
                yield f"       source: {each.source}"
    total = sum(len(one.differences) for one in found)
    quarantines = "1 quarantine" if len(found) == 1 else f"{len(found)} quarantines"
    yield f"{_differences(total)} from {course.name} ({course.about}) in {quarantines}"


def as_json(recording: Recording, course: Course, found: Sequence[Comparison]) -> dict[str, Any]:
    """Keys are stable."""
    return {
        "recording": {
            "serves": recording.header.serves,
            "responder": recording.header.responder,
            "seconds": recording.ended_at,
            "torn": recording.torn,
        },
        "profile": course.name,
        "quarantines": [_quarantine(one) for one in found],
        "differences": sum(len(one.differences) for one in found),
    }


def _quarantine(one: Comparison) -> dict[str, Any]:
    return {
        "node": one.quarantine.node,
        "line": one.quarantine.begun.line,
        "at": one.quarantine.begun.at,
        "actions": one.quarantine.actions,
        "situation": one.situation or None,
        "partial": one.quarantine.partial,
        "stages": {
            str(stage): {"at": moment.at, "line": moment.line}
            for stage, moment in one.quarantine.stages.items()
        },
        "compared": one.compared,
        "differences": [
            {
                "kind": each.kind,
                "line": each.line,
                "transition": each.transition,
                "expected": each.expected,
                "seen": each.seen,
                "source": each.source or None,
            }
            for each in one.differences
        ],
    }


def _differences(count: int) -> str:
    return {0: "no difference", 1: "1 difference"}.get(count, f"{count} differences")
