"""The numbers of the fleet's benchmark, for people and for CI."""

import json
import statistics
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.fleet_cluster import Fleet
from benchmarks.fleet_watchers import Watcher, events_of
from offbus.journal.kinds import OBSERVED

__all__ = ["BUDGETS", "Share", "results"]

BUDGETS = {"rss_mib": 200.0, "quiet_cpu_percent": 5.0, "cordon_ms": 50.0}


@dataclass(frozen=True)
class Share:
    """What was used while so many changes happened."""

    percent: dict[str, float]
    """Of a core, by process."""
    changes: float
    """Of anything in the cluster, a second."""


def results(
    folder: Path,
    fleet: Fleet,
    watchers: tuple[Watcher, ...],
    quiet: Share,
    busy: Share,
    cordoned: list[str],
) -> dict[str, Any]:
    """All of them."""
    seen = {one.name: runner_saw(one) if one.runs is not None else poller_saw(folder) for one in watchers}
    at = audited(folder)
    found: dict[str, Any] = {
        "nodes": fleet.nodes,
        "pods": fleet.pods,
        "written_s": round(fleet.made_s),
        "ready_s": round(fleet.played_s),
        "quiet_changes_a_second": round(quiet.changes, 1),
        "busy_changes_a_second": round(busy.changes, 1),
    }
    for one in watchers:
        delays = [1000 * (seen[one.name][name] - at[name]) for name in cordoned]
        found[one.name] = {
            "rss_mib": round(max(one.most_mib.values()), 1),
            "rss_mib_when": {when: round(most, 1) for when, most in one.most_mib.items()},
            "quiet_cpu_percent": round(quiet.percent[one.name], 2),
            "busy_cpu_percent": round(busy.percent[one.name], 2),
            "cordon_ms": round(max(delays), 1),
            "cordon_median_ms": round(statistics.median(delays), 1),
            **({} if one.process.returncode is None else {"exit_status": one.process.returncode}),
        }
    return found


def audited(folder: Path) -> dict[str, float]:
    """Node -> when the API server had carried its first patch, the cordon, out."""
    lines = [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]
    return {one["objectRef"]["name"]: instant(one["stageTimestamp"]) for one in reversed(lines)}


def runner_saw(runner: Watcher) -> dict[str, float]:
    """Node -> when the runner's journal had its cordon."""
    return {
        seen["subject"].rpartition("/")[2]: instant(event["t"])
        for event in events_of(runner)
        if (seen := OBSERVED.of(event)) is not None and seen["to"] == "cordoned"
    }


def poller_saw(folder: Path) -> dict[str, float]:
    """Node -> when a poll showed it."""
    lines = (json.loads(line) for line in (folder / "poller.log").read_text().splitlines())
    return {one["node"]: one["t"] for one in lines}


def instant(text: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
