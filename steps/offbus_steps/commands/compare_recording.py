"""What `offbus observe --compare` does: read a recording, compare it with a release's course, print the differences."""

import json
from pathlib import Path

import click

from offbus.cli.output import say
from offbus.durations import parse_duration
from offbus.errors import UsageError
from offbus.exits import Exit
from offbus.findings.suggest import did_you_mean
from offbus.printable import printable_json
from offbus_steps.nvsentinel.course import COURSES, Course
from offbus_steps.recordings.compare import compare
from offbus_steps.recordings.format import read_recording
from offbus_steps.recordings.render import as_json, as_lines

__all__ = ["compare_recording", "seconds_of"]


def compare_recording(path: Path, profile: str, *, fault_at: str | None, faster: float, form: str) -> Exit:
    """Compare; the exit code. Raises UsageError, also for a recording that shows no quarantine at all."""
    course = _course(profile).faster(faster)
    at = None if fault_at is None else seconds_of("--fault-at", fault_at)
    recording = read_recording(path)
    found = compare(recording, course, at)
    if not found:
        hint = "record while a responder answers a fault"
        raise UsageError(f"{path} shows no quarantine: there is nothing to compare", hint=hint)
    if form == "json":
        click.echo(printable_json(json.dumps(as_json(recording, course, found), indent=2)))
    else:
        for line in as_lines(recording, course, found):
            say(line)
    return Exit.FAILED if any(one.differences for one in found) else Exit.PASSED


def seconds_of(option: str, text: str) -> float:
    """The value of an option that is a duration. Raises UsageError."""
    try:
        return parse_duration(text).total_seconds()
    except ValueError as err:
        raise UsageError(f"{option}: {err}") from err


def _course(name: str) -> Course:
    found = COURSES.get(name)
    if found is None:
        hint = did_you_mean(name, COURSES, f"known: {', '.join(COURSES)}")
        raise UsageError(f"there is no profile {name!r}", hint=hint)
    return found
