"""What a part of offbus uses of a cluster, declared in the port's words: verbs on kinds.

Undo types declare theirs in `uses`, so that whoever does nothing but undo (the reaper) is given no right more, and a
right that an undo needs cannot be forgotten: deploy/'s roles are generated from these, and tests hold them together.
What all need is not declared: the agents' token and proxy, the run's Lease and its records.
"""

from dataclasses import dataclass

__all__ = ["Use", "uses"]


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One verb on one kind, as the API server's authorizer names it."""

    verb: str
    kind: str
    subresource: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.kind}{'/' + self.subresource if self.subresource else ''}"


def uses(verbs: str, *kinds: str, subresource: str = "") -> frozenset[Use]:
    """Each of the verbs (in one text) on each of the kinds."""
    return frozenset(Use(verb, kind, subresource) for verb in verbs.split() for kind in kinds)
