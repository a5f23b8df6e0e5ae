"""What a part of offbus uses of a cluster, declared in the port's words: verbs on kinds.

Step types and undo types declare theirs in `uses`: nobody is given a right more, and one that is needed cannot be
forgotten. What several of them use through the same code stands in that code's package, in a module that a declaration
can import without it (`access.py`). deploy/'s roles are generated from these, the check before a run asks for them, and
tests hold them together. What all need is not declared: the agents' token and proxy, the run's Lease and its records.
"""

from dataclasses import dataclass

__all__ = ["Use", "uses"]


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One verb on one kind, as the API server's authorizer names it."""

    verb: str
    kind: str
    subresource: str = ""
    everywhere: bool = False
    """In all namespaces, not in those of the drill alone. Kinds without namespaces are everywhere anyhow."""

    def __str__(self) -> str:
        return f"{self.verb} {self.kind}{'/' + self.subresource if self.subresource else ''}"


def uses(verbs: str, *kinds: str, subresource: str = "", everywhere: bool = False) -> frozenset[Use]:
    """Each of the verbs (in one text) on each of the kinds."""
    return frozenset(Use(verb, kind, subresource, everywhere) for verb in verbs.split() for kind in kinds)
