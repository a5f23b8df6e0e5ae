"""The times from an injection to each response, which the `await_*` steps measure."""

from collections.abc import Mapping

from offbus.declared import Metric

__all__ = ["TIMES", "times"]


def _time(order: int, word: str, meaning: str, *, told: bool = True) -> Metric:
    """Of the times to a response, `order` is that in which they happen."""
    label = f"{word} {{}}" if told else ""
    return Metric(
        "duration", f"From the injection until {meaning}.", group="time to", label=label, order=order
    )


TIMES: Mapping[str, Metric] = {
    "time_to_detect": _time(1, "detect", "the responder reported the fault"),
    "time_to_quarantine": _time(2, "quarantine", "the responder's marks were on the nodes", told=False),
    "time_to_cordon": _time(3, "cordon", "the nodes were cordoned"),
    "time_to_drain": _time(4, "drain", "the nodes were drained"),
    "time_to_remediate": _time(5, "remediate", "the nodes were repaired"),
    "time_to_validate": _time(6, "validate", "the repaired nodes were validated", told=False),
    "time_to_uncordon": _time(7, "uncordon", "the quarantine was lifted"),
    "time_to_recover": _time(8, "recover", "the target was ready elsewhere and answered again"),
}


def times(*words: str) -> Mapping[str, Metric]:
    """The metrics of those words: `times("drain")` is `time_to_drain`."""
    return {name: TIMES[name] for name in (f"time_to_{word}" for word in words)}
