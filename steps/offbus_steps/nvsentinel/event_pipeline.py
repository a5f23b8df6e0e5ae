"""What happens to a health event before the responder acts on it: repetitions that are dropped, rules that change it.

NVSentinel's platform-connectors read a `pipeline` from config.json; each entry has a name, says whether it is enabled,
and names its own file of the same ConfigMap. That file is there even when the entry is off: the chart ships the
Deduplicator off (reference/nvsentinel-observed.md). The ConfigMap is recognised by the key, as its name is that of the
release. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from offbus.preflight import PreflightCheck
from offbus_steps.nvsentinel.containers import ConfigFile

__all__ = ["pipeline_checks"]

DEDUPLICATOR, OVERRIDES = "Deduplicator", "OverrideTransformer"
NAME = re.compile(r"[\w .:/()-]{1,80}")


def pipeline_checks(topic: str, configs: Iterable[Mapping[str, ConfigFile]]) -> Iterator[PreflightCheck]:
    """What a drill has to reckon with, by the ConfigMaps of a responder's namespaces."""
    found = []
    for files in configs:
        file = files.get("config.json")
        listed = file.table().get("pipeline") if file else None
        if file and isinstance(listed, list):
            found += [(one, file, files) for one in listed if isinstance(one, Mapping)]
    for entry, file, files in found:
        if entry.get("name") == DEDUPLICATOR:
            yield _deduplicator(topic, entry, file, files)
        elif entry.get("name") == OVERRIDES and entry.get("enabled") is True:
            yield from _overrides(topic, entry, files)
    if not any(entry.get("name") == DEDUPLICATOR for entry, _, _ in found):
        yield PreflightCheck(topic, "no deduplicator is configured: a repetition of an XID counts again")


def _own(entry: Mapping[str, Any], files: Mapping[str, ConfigFile]) -> ConfigFile | None:
    return files.get(PurePosixPath(str(entry.get("config", ""))).name)


def _deduplicator(
    topic: str, entry: Mapping[str, Any], file: ConfigFile, files: Mapping[str, ConfigFile]
) -> PreflightCheck:
    where = f"{file} pipeline[{DEDUPLICATOR}].enabled"
    if entry.get("enabled") is not True:
        return PreflightCheck(
            topic, f"its deduplicator is off ({where}): a repetition of an XID counts again"
        )
    own = _own(entry, files)
    window = own.table().get("suppressionWindow") if own else None
    told = f"{window}: {own} suppressionWindow" if window else "3m: the documented default"
    return PreflightCheck(
        topic,
        f"it ignores the same XID on the same GPU within its deduplication window ({told}; on: {where})",
    )


def _overrides(
    topic: str, entry: Mapping[str, Any], files: Mapping[str, ConfigFile]
) -> Iterator[PreflightCheck]:
    """Rules in a language that is not evaluated here."""
    own = _own(entry, files)
    rules = own.table().get("rules") if own else None
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        given = rule if isinstance(rule, Mapping) else {}
        named = str(given.get("name", ""))
        name = named if NAME.fullmatch(named) else f"number {number + 1}"
        changed = given.get("override")
        what = (
            ", ".join(f"{key} = {value}" for key, value in changed.items())
            if isinstance(changed, Mapping)
            else ""
        )
        yield PreflightCheck(
            topic,
            f"the rule {name} may change what is recommended: {what[:120]} ({own} rules[{number}])",
            "warning",
            f"compare its `when` with the drill's XID: {str(given.get('when', ''))[:200]}",
        )
