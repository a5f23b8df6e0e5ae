"""The names of the fields in a recording, and the form of their values: the recorder writes, a comparison reads them.

cordoned                        true, false                      a node's
exists                          true; of a resource who asked: "nvsentinel", "others"
evicted, terminating, phase     the reason; true; "Failed"       a pod's
taint KEY:EFFECT                true
condition TYPE                  "True SysLogsXIDErrorIsNotHealthy"
findings TYPE                   "SysLogsXIDError 79 PCI:0000:3b:00 GPU_UUID:gpu-1 action=RESTART_BM"; several by "; "
label KEY, annotation KEY       the responder's; quarantineHealthEvent as findings
event REASON                    "Warning, 2 times"               of a node or a pod
"""

import re
from collections.abc import Iterable

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import Finding

__all__ = [
    "ANNOTATION",
    "CONDITION",
    "CORDONED",
    "EVENT",
    "EVICTED",
    "EXISTS",
    "FINDINGS",
    "LABEL",
    "LEFT_OUT",
    "OTHERS",
    "PHASE",
    "RESPONDER",
    "TAINT",
    "TERMINATING",
    "actions_in",
    "entities_in",
    "findings_text",
    "is_unhealthy",
]

CORDONED, EXISTS, EVICTED, TERMINATING, PHASE = "cordoned", "exists", "evicted", "terminating", "phase"
TAINT, CONDITION, FINDINGS, LABEL, ANNOTATION, EVENT = (
    *("taint ", "condition ", "findings "),
    *("label ", "annotation ", "event "),
)
"""Each before a name."""
LEFT_OUT = "(left out)"
"""Instead of a value that may name somebody."""
RESPONDER, OTHERS = names.MANAGED_BY[1], "others"
_ACTION = re.compile(r"\baction=([A-Z_]{1,64})(?=;|$)")
_ENTITY = re.compile(r" [A-Z][A-Z0-9_]*:")


def findings_text(findings: Iterable[Finding]) -> str:
    """Findings whose values are fit to be told."""
    return "; ".join(f"{one} action={one.action}" if one.action else str(one) for one in findings)


def actions_in(text: str) -> list[str]:
    """The recommended actions of findings, in their order."""
    return _ACTION.findall(text)


def entities_in(text: str) -> int:
    """How many entities the finding with the most of them has."""
    return max(len(_ENTITY.findall(one)) for one in text.split("; "))


def is_unhealthy(value: object) -> bool:
    """Whether a condition's value is a responder's that marks its node as unhealthy."""
    return isinstance(value, str) and value.startswith("True ") and value.endswith(names.UNHEALTHY_SUFFIX)
