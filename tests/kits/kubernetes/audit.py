"""What each user asked of a lone API server: the server's own word, from its audit log."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FORBIDDEN", "Asked", "asked_by", "audit_flags"]

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the authorizer sees it."""

    verb: str
    group: str
    resource: str
    """With its subresource: "pods/log"."""
    namespace: str
    name: str

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {what}{where}" + (f" {self.name!r}" if self.name else "")


def audit_flags(folder: Path) -> tuple[str, ...]:
    """The API server's options; a watch is written when it begins, too: many end with their program, later."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(POLICY))
    return f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}"


def asked_by(folder: Path, user: str) -> Iterator[tuple[Asked, int]]:
    """A user's requests for resources, each with its status code; RBAC's rules for others are not ours to give."""
    with (folder / "audit.log").open() as log:
        for event in map(json.loads, log):
            if event["user"]["username"] == user and "objectRef" in event:
                yield asked_in(event), int((event.get("responseStatus") or {}).get("code", 0))


def asked_in(event: dict[str, Any]) -> Asked:
    of = event["objectRef"]
    resource = "/".join(filter(None, (of["resource"], of.get("subresource"))))
    return Asked(event["verb"], of.get("apiGroup", ""), resource, of.get("namespace", ""), of.get("name", ""))
