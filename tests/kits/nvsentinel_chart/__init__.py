"""NVSentinel's chart as it is deployed: its own values (default.yaml), and what other values change of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["CHANGES", "rendered"]

Change = tuple[str, str, str, int]
"""Object, old text, new text, and how often the old text stands there."""
Q = "Deployment/fault-quarantine"
DRY = ("--dry-run=false", "--dry-run=true", 1)
CHANGES: Mapping[str, tuple[Change, ...]] = {
    "default": (),
    "Immediate": (("ConfigMap/node-drainer", 'mode = "AllowCompletion"', 'mode = "Immediate"', 1),),
    "AllowCompletion for some": (
        (
            "ConfigMap/node-drainer",
            'mode = "AllowCompletion"\n',
            (
                'mode = "DeleteAfterTimeout"\n[[userNamespaces]]\nname = "drill-*"\nmode = "AllowCompletion"\n'
                '[[userNamespaces]]\nname = "batch"\nmode = "AllowCompletion"\n'
            ),
            1,
        ),
    ),
    "pod policies": (
        (
            "ConfigMap/node-drainer",
            '[[userNamespaces]]\nname = "*"\nmode = "AllowCompletion"\n',
            (
                '[[podDrainPolicies]]\nname = "workers"\nnamespace = "drill-*"\npodSelector = "app=web"\n'
                'mode = "Immediate"\n'
            ),
            1,
        ),
    ),
    "dedup on": (
        (
            "ConfigMap/platform-connectors",
            '"enabled":false,"name":"Deduplicator"',
            '"enabled":true,"name":"Deduplicator"',
            1,
        ),
    ),
    "dry run": ((Q, *DRY), ("Deployment/node-drainer", *DRY), ("Deployment/fault-remediation", *DRY)),
    "breaker off": ((Q, "--circuit-breaker-enabled=true", "--circuit-breaker-enabled=false", 1),),
    "janitor aws": (("Deployment/janitor-provider", "value: kind", "value: aws", 1),),
    "reset by GPUReset": (
        (
            "ConfigMap/fault-remediation",
            (
                '[remediationActions."COMPONENT_RESET"]\napiGroup = "janitor.dgxc.nvidia.com"\nversion = "v1alpha1"\n'
                'kind = "RebootNode"'
            ),
            (
                '[remediationActions."COMPONENT_RESET"]\napiGroup = "janitor.dgxc.nvidia.com"\nversion = "v1alpha1"\n'
                'kind = "GPUReset"'
            ),
            1,
        ),
    ),
    "validation": (
        (
            "ConfigMap/fault-quarantine",
            "[[skip-node-labels]]",
            "[validation]\nenabled = true\n[[skip-node-labels]]",
            1,
        ),
    ),
    "overrides": (
        (
            "ConfigMap/platform-connectors",
            '"enabled":false,"name":"Override',
            '"enabled":true,"name":"Override',
            1,
        ),
    ),
}
"""Configurations, by what differs from the chart's own values."""


def rendered(name: str) -> list[dict[str, Any]]:
    """The objects of a configuration. Raises ValueError when a change finds nothing to change."""
    found = list(yaml.safe_load_all(Path(__file__).with_name("default.yaml").read_text()))
    by_name = {f"{one['kind']}/{one['metadata']['name']}": one for one in found}
    for where, old, new, times in CHANGES[name]:
        by_name[where] = _changed(by_name[where], old, new, times)
    return list(by_name.values())


def _changed(obj: Any, old: str, new: str, times: int) -> Any:
    """Replace in the file of a ConfigMap, or in the manifest of another object."""
    if obj["kind"] != "ConfigMap":
        text = yaml.safe_dump(obj)
        return yaml.safe_load(_replaced(text, old, new, times))
    (key,) = (key for key, text in obj["data"].items() if old in text)
    return {**obj, "data": {**obj["data"], key: _replaced(obj["data"][key], old, new, times)}}


def _replaced(text: str, old: str, new: str, times: int) -> str:
    if text.count(old) != times:
        raise ValueError(f"{old!r} stands there {text.count(old)} times")
    return text.replace(old, new)
