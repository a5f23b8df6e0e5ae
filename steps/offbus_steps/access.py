"""The access to a cluster that a part of offbus needs, declared in the port's words: verbs on kinds.

Step types and undo types declare theirs in `access`: nobody is given a right more, and one that is needed cannot be
forgotten. What several of them need through the same code stands in that code's package, in a module that a declaration
can import without it (`access.py`). deploy/'s roles are generated from these, the check before a run asks for them, and
tests hold them together. What all need is not declared: the agents' token and proxy, the run's Lease and its records.
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
    """In all namespaces, not in those of the drill alone. Kinds without namespaces are everywhere anyhow."""

    def __str__(self) -> str:
        return f"{self.verb} {self.kind}{'/' + self.subresource if self.subresource else ''}"


def access(verbs: str, *kinds: str, subresource: str = "", everywhere: bool = False) -> frozenset[Access]:
    """Each of the verbs (in one text) on each of the kinds."""
    return frozenset(Access(verb, kind, subresource, everywhere) for verb in verbs.split() for kind in kinds)
