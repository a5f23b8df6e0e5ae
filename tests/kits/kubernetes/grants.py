"""What roles grant, one verb on one resource at a time, and which of it was asked for. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kits.kubernetes.audit import Asked

__all__ = ["Grant", "grants_of", "unused"]


@dataclass(frozen=True, slots=True)
class Grant:
    """One verb on one resource."""

    verb: str
    group: str
    resource: str
    namespace: str
    """Where it is bound; "" for the whole cluster."""

    def fits(self, asked: Asked) -> bool:
        same = (self.verb, self.group, self.resource) == (asked.verb, asked.group, asked.resource)
        return same and self.namespace in ("", asked.namespace)

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}" + (f" in {self.namespace}" if self.namespace else "")


def grants_of(role: Mapping[str, Any], namespace: str) -> Iterator[Grant]:
    """All that a role grants where it is bound."""
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from (Grant(verb, group, resource, namespace) for verb in rule["verbs"])


def unused(grants: Collection[Grant], asked: Iterable[Asked]) -> list[str]:
    """Those that no request needed: where two grant the same, it needs the narrower."""
    needed = set()
    for one in set(asked):
        fitting = [grant for grant in grants if grant.fits(one)]
        needed |= {grant for grant in fitting if grant.namespace} or set(fitting)
    return sorted(str(grant) for grant in grants if grant not in needed)
