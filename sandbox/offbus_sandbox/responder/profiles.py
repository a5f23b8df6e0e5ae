"""The profiles of the stand-in responder: which release of NVSentinel it plays, rule by rule, and so its delays.

Data, and pure.

A rule says what the release does, how that is known (`Mark`), where it stands, and which settings of the stand-in
follow from it; a rule without settings is built in. `main-2026-08` was run and observed; the other releases are its
rules with what is known to differ. `fast` is `main-2026-08` with its delays divided by 20, and with choices of its own,
for a sandbox on a laptop and for tests. Any profile can be divided (`scale`). Only delays are: a window (deduplication,
circuit breaker) or a timeout of a pod is no time that the responder takes. A delay becomes no shorter than 0.1 s by it:
what a process needs to react does not shrink.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from offbus_steps.nvsentinel import names

__all__ = ["DEFAULT", "PROFILES", "Mark", "Profile", "ProfileName", "Rule"]

ProfileName = Literal["fast", "main-2026-08", "v1.8", "v1.33"]
DEFAULT: ProfileName = "fast"
"""Of a responder that is not configured: a sandbox is to be quick."""
SHORTEST = 0.1
"""Seconds: no delay becomes shorter by a scale."""
DELAYS = (
    "poll_s",
    "detect_delay_s",
    "condition_delay_s",
    "quarantine_delay_s",
    "drain_delay_s",
    "drain_retry_s",
    "remediate_delay_s",
    "janitor_delay_s",
    "signal_delay_s",
    "uncordon_delay_s",
    "validation_delay_s",
)
"""The settings that a scale divides."""


class Mark(StrEnum):
    """How a rule is known."""

    SEEN = "seen"
    """The release was run, and did so."""
    READ = "read"
    """It stands in the release's source, documents or pull requests."""
    ASSUMED = "assumed"
    """As in `main-2026-08`: nothing is known that differs."""
    OWN = "own"
    """No rule of NVSentinel: a choice for a sandbox."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a release does."""

    says: str
    mark: Mark
    source: str
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Settings, as in the configuration file; none when the rule is built in."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one release does."""

    name: ProfileName
    summary: str
    rules: Mapping[str, Rule]
    """By their subject, which is the same in every profile."""
    lacks: tuple[str, ...] = ()
    """What of the release the stand-in does not do, beside what it does of none."""
    scale: float = 1.0
    """What its delays are divided by, unless the configuration says so."""
    validates: bool = False
    """Whether it has a validation stage."""
    plays: str = ""
    """The release, where the profile has another name."""

    def settings(self, scale: float) -> dict[str, Any]:
        """All settings that follow from its rules, at a scale."""
        found = {key: value for rule in self.rules.values() for key, value in rule.sets.items()}
        own = {key for rule in self.rules.values() if rule.mark is Mark.OWN for key in rule.sets}
        for key in set(DELAYS) & found.keys() - own:
            found[key] = max(min(SHORTEST, found[key]), found[key] / scale)
        return found


RUN = "run on 2026-11-29 (main of 2026-08-21, 42672ae)"
_MAIN = {
    "poll": Rule(
        "The monitor reads the journal every 15 s.", Mark.SEEN, RUN, {"poll_s": 15, "detect_delay_s": 0}
    ),
    "condition": Rule(
        "Condition and cordon come by independent ways: the cordon came up to 0.2 s before the condition.",
        Mark.SEEN,
        RUN,
        {"condition_delay_s": 0.2},
    ),
    "deduplication": Rule("The chart ships the deduplicator off.", Mark.SEEN, RUN, {"dedup_window_s": 0}),
    "cordon": Rule("A fatal event cordons the node at once.", Mark.SEEN, RUN, {"quarantine_delay_s": 0.1}),
    "drain": Rule(
        "`draining` comes 0.1 s after the cordon; every 10 s it looks whether the pods have left.",
        Mark.SEEN,
        RUN,
        {"drain_delay_s": 0.1, "drain_retry_s": 10},
    ),
    "drain mode": Rule(
        "Pods are evicted, as it was run; the chart's default is `AllowCompletion`, which waits for ever.",
        Mark.SEEN,
        RUN,
        {"drain": [{"name": "*", "mode": "Immediate"}]},
    ),
    "remediation": Rule(
        "The maintenance resource is made 0.2 to 0.3 s after the drain.",
        Mark.SEEN,
        RUN,
        {"remediate_delay_s": 0.25},
    ),
    "reset": Rule("`COMPONENT_RESET` asks for a `RebootNode`.", Mark.SEEN, RUN, {"reset_by": names.REBOOT}),
    "repair": Rule(
        "A `RebootNode` is done in 3 to 9 s (provider `kind`).",
        Mark.SEEN,
        RUN,
        {"janitor_delay_s": 6, "signal_delay_s": 0},
    ),
    "uncordon": Rule(
        "The uncordon comes 0.1 s after the last healthy event.", Mark.SEEN, RUN, {"uncordon_delay_s": 0.1}
    ),
    "circuit breaker": Rule(
        "It is on: 50 % of the GPU nodes within 5 minutes. It is asked before every event, healthy ones too, and stops "
        "everything until a restart.",
        Mark.SEEN,
        RUN,
        {"circuit_breaker": {"enabled": True, "percentage": 50, "duration_s": 300}},
    ),
    "earlier cordon": Rule(
        "A node that somebody else had cordoned keeps its cordon.",
        Mark.READ,
        "NVIDIA/NVSentinel pull request 1445, of July 2026",
        {"earlier_cordon": "kept"},
    ),
    "datastore": Rule(
        "It acts on its datastore: marks that are removed by hand come back, and the node is rebooted.",
        Mark.SEEN,
        RUN,
    ),
    "manual uncordon": Rule(
        "An uncordon while the annotations stand cancels the events, also with a tripped breaker.",
        Mark.SEEN,
        RUN,
    ),
    "all-clear": Rule(
        "A healthy event clears only what it names all entities of: XID 74's cordon stays.", Mark.SEEN, RUN
    ),
    "metadata": Rule(
        "The metadata file is read once; a reset line for a GPU outside it blinds the monitor for ever.",
        Mark.SEEN,
        RUN,
    ),
    "no maintenance": Rule(
        "`CONTACT_SUPPORT` ends in `remediation-failed`, without `remediating`.", Mark.SEEN, RUN
    ),
    "NVLink 5": Rule(
        "Rules `XID_154_EVAL` and `WORKFLOW_XID_45` give `NONE`; no driver version counts as before R575.",
        Mark.SEEN,
        RUN,
    ),
    "validation": Rule(
        "A repaired node is uncordoned without a validation.",
        Mark.READ,
        "NVIDIA/NVSentinel pull request 1749, of September 2026",
        {"validation_delay_s": 480},
    ),
    "dry run": Rule(
        "Marks are set, state `remediation-succeeded` too, without cordon, eviction or maintenance.",
        Mark.READ,
        "NVIDIA/NVSentinel tests/uat/tests.sh",
    ),
}


def _as_main(**different: Rule) -> dict[str, Rule]:
    """The rules of `main-2026-08`, as far as nothing is known that differs; `_` in a name is a blank."""
    same = {
        name: rule if rule.mark is Mark.OWN else replace(rule, mark=Mark.ASSUMED)
        for name, rule in _MAIN.items()
    }
    return same | {name.replace("_", " "): rule for name, rule in different.items()}


_ALL = (
    Profile("main-2026-08", "main of 2026-08-21, as it was observed", _MAIN),
    Profile(
        "v1.8",
        "release 1.8, of June 2026",
        _as_main(
            earlier_cordon=Rule(
                "An earlier cordon of somebody else is taken for its own, and lifted at the end.",
                Mark.READ,
                "NVIDIA/NVSentinel pull request 1445, which changed it after this release",
                {"earlier_cordon": "lifted"},
            ),
        ),
        lacks=("It reads journal entries of any transport (`logger` too); here only the kernel log counts.",),
    ),
    Profile(
        "v1.33",
        "release 1.33, of November 2026",
        _as_main(
            validation=Rule(
                "With `validation.enabled` a node whose events asked for tests and were drained stays cordoned until a "
                "`ValidationRequest` has succeeded. One example took 8 minutes.",
                Mark.READ,
                "NVIDIA/NVSentinel docs/configuration/validation.md, lifecycle-manager/internal/controller",
                {"validation_delay_s": 480},
            ),
        ),
        validates=True,
        lacks=(
            "An override of a health event may choose a custom remediation action.",
            "A condition `GPUReset` says whether a reset succeeded.",
            "`MaintenanceRequest`.",
            "A validation's test groups, retries, timeouts and readiness criteria; the validation of new nodes.",
            "The validation of a node that somebody else had cordoned: what becomes of it is not known.",
        ),
    ),
    Profile(
        "fast",
        "the rules of main-2026-08 with its delays divided by 20, for a sandbox",
        _MAIN
        | {
            "poll": Rule(
                "The kernel log is followed by events.",
                Mark.OWN,
                "a sandbox",
                {"poll_s": 0, "detect_delay_s": 0.1},
            ),
            "condition": Rule(
                "The condition is written with the event, so that two drills tell the same.",
                Mark.OWN,
                "a sandbox",
                {"condition_delay_s": 0},
            ),
            "deduplication": Rule(
                "The deduplicator is on, with its documented window.",
                Mark.READ,
                "NVIDIA/NVSentinel docs/configuration/platform-connectors.md",
                {"dedup_window_s": 180},
            ),
            "circuit breaker": Rule(
                "It is off: one node of a three-node sandbox is already a third.",
                Mark.OWN,
                "a sandbox",
                {"circuit_breaker": {"enabled": False, "percentage": 50, "duration_s": 300}},
            ),
        },
        scale=20,
        plays="main-2026-08",
    ),
)
PROFILES: Mapping[str, Profile] = {one.name: one for one in _ALL}
