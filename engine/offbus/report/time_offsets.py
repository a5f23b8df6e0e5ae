"""When things were, in milliseconds since the run began. Pure."""

from offbus.report.formatting import utc_seconds
from offbus.report.model import Instant, MappedTime, Report, TimelineEntry

__all__ = ["offset_ms", "written_offset"]


def offset_ms(report: Report, moment: Instant | TimelineEntry) -> float:
    """Milliseconds from the run's begin: by the monotonic clock of the runner, or by UTC after a takeover, which may
    have been on another machine or after a reboot."""
    if not report.takeovers or moment.seq < report.takeovers[0].at.seq:
        return (moment.mono_ns - report.started.mono_ns) / 1e6
    return (utc_seconds(moment.t) - utc_seconds(report.started.t)) * 1e3


def written_offset(report: Report, happened: MappedTime | None) -> str:
    """When something was by another clock, with the bound of the mapping's error; "" when it is not known."""
    if happened is None:
        return ""
    offset = (happened.mono_ns - report.started.mono_ns) / 1e6
    return f"by its own clock {offset:+.1f} ms, to within {happened.error_ns / 1e6:.1f} ms"
