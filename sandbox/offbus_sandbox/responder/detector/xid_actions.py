"""XID to recommended action, as NVSentinel maps NVIDIA's catalogue.

Sources: NVIDIA's Xid-Catalog.xlsx (its rows come from `offbus_agent`, which carries the tables as data; the
agent's own conclusions are not used) and `MapActionStringToProto` in syslog-health-monitor/pkg/common. Not
established from NVSentinel's sources: WORKFLOW_XID_45 is NONE, as its newest consistency test suggests, and
XID_154_EVAL stays with the default. Must not: look at a line's address or process, or ask the agent.
"""

from collections.abc import Mapping

from offbus_agent.catalogue import nvlink5
from offbus_agent.catalogue.catalogue import catalogue
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = ["action_of_bucket", "action_of_recovery", "action_of_xid", "nvlink_action"]

_BUCKETS: Mapping[str, RecommendedAction] = {
    "RESTART_APP": RecommendedAction.NONE,
    "IGNORE": RecommendedAction.NONE,
    "WORKFLOW_XID_45": RecommendedAction.NONE,
    "RESET_GPU": RecommendedAction.COMPONENT_RESET,
    "WORKFLOW_XID_48": RecommendedAction.COMPONENT_RESET,
    "RECOVER_FEATURE_RESET_GPU": RecommendedAction.COMPONENT_RESET,
    "WORKFLOW_XID_168": RecommendedAction.RESTART_VM,
    "RESET_FABRIC": RecommendedAction.RESTART_VM,
}
_RECOVERY: Mapping[str, RecommendedAction] = {
    "GPU Reset Required": RecommendedAction.COMPONENT_RESET,
    "Drain and Reset": RecommendedAction.COMPONENT_RESET,
    "Node Reboot Required": RecommendedAction.RESTART_BM,
    "None": RecommendedAction.NONE,
}


def action_of_bucket(bucket: str) -> RecommendedAction:
    """The action of a catalogue bucket; an unknown bucket is CONTACT_SUPPORT."""
    named = RecommendedAction.__members__.get(bucket)
    return named if named is not None else _BUCKETS.get(bucket, RecommendedAction.CONTACT_SUPPORT)


def action_of_xid(xid: int) -> RecommendedAction:
    """The catalogue's action; a number that is not in it, or has no bucket, is CONTACT_SUPPORT: fatal."""
    known = catalogue().get(xid)
    return action_of_bucket(known.nvidia_action if known is not None else "")


def action_of_recovery(text: str) -> RecommendedAction:
    """The action of XID 154's own text, which is in its last parentheses."""
    return _RECOVERY.get(text, RecommendedAction.CONTACT_SUPPORT)


def nvlink_action(text: str, driver: str) -> RecommendedAction:
    """The decode sheet's action for `144, UNIT … Link NN (0x… 0x…`; no match is NONE (the enum's zero).

    `driver` is the metadata's version ("580.82.07"); an unknown one counts as the newest.
    """
    release = driver.partition(".")[0]
    major = int(release) if release.isdigit() else nvlink5.FIRST_R575
    bucket = nvlink5.bucket(text, driver=major)
    return RecommendedAction.NONE if bucket is None else action_of_bucket(bucket)
