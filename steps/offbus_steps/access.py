"""The access to a cluster that a part of offbus needs, declared in the port's terms: verbs on kinds.

Step types and undo types declare theirs in `access`, so that roles grant what is needed and nothing more. What several
of them need through shared code is declared in that code's package, in a module that is cheap to import (`access.py`).
deploy/'s roles are generated from these, the preflight check asks for them, and tests keep them consistent. What all
need is not declared: the agents' token and proxy, the run's Lease and its records.
"""

from dataclasses import dataclass

__all__ = ["Access", "access"]


@dataclass(frozen=True, slots=True, order=True)
class Access:
    """One verb on one kind, as the API server's authorizer names it."""

    verb: str
    kind: str
    subresource: str = ""
    everywhere: bool = False
    """In all namespaces, not only in those of the drill. Cluster-scoped kinds always are."""

    def __str__(self) -> str:
        return f"{self.verb} {self.kind}{'/' + self.subresource if self.subresource else ''}"


def access(verbs: str, *kinds: str, subresource: str = "", everywhere: bool = False) -> frozenset[Access]:
    """Each of the verbs (one string, separated by spaces) on each of the kinds."""
    return frozenset(Access(verb, kind, subresource, everywhere) for verb in verbs.split() for kind in kinds)
