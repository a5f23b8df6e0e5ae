"""What `load` measures of the requests that it sends."""

from collections.abc import Mapping
from functools import partial

from offbus.declared import Metric

__all__ = ["METRICS"]

_COUNTED = partial(Metric, group="requests", often=True)

METRICS: Mapping[str, Metric] = {
    "requests.sent": _COUNTED("double", "Requests that reached the target.", label="{} sent", order=11),
    "requests.failed": _COUNTED("double", "Those without a good answer.", label="{} failed", order=12),
    "requests.path_errors": _COUNTED(
        "double", "Requests that did not reach the target: they count neither way.", order=13
    ),
    "requests.success_rate": _COUNTED(
        "double", "Good answers over requests that reached it.", share=True, label="{} good", order=14
    ),
    "requests.success_rate_window": _COUNTED(
        "double", "The same, over the last `window`.", share=True, order=15
    ),
    "requests.p50": _COUNTED("duration", "Median latency of good answers.", order=16),
    "requests.p95": _COUNTED("duration", "95th percentile of their latency.", order=17),
    "requests.p99": _COUNTED("duration", "99th percentile of their latency.", order=18),
    "availability": Metric(
        "double",
        "The part of the measured time outside outages.",
        share=True,
        group="requests",
        label="{} available",
        order=19,
    ),
}
