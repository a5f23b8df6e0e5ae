"""What can be the name of an object, a namespace or a fault: manifests and records of undos may hold anything.

A name goes into paths of the API server's and of the agents' interfaces, and into paths of files. Kubernetes: object
names are DNS subdomains, namespaces DNS labels (RFC 1123; kubernetes.io/docs/concepts/overview/working-with-objects).
"""

import re

from offbus_steps.kinds import KINDS

__all__ = ["NAME", "NAMESPACE", "is_fault", "is_fault_of", "is_node", "unnamed"]

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
FAULT = re.compile(r"[A-Za-z0-9._-]{1,39}")
"""The agent's ids of faults (offbus_agent.models.FaultId)."""


def unnamed(kinds: tuple[str, ...], kind: str, name: str, namespace: str) -> str | None:
    """Why this names no object of these kinds; None when it can."""
    if kind not in kinds or kind not in KINDS:
        return f"a {kind}"
    if NAME.fullmatch(name) is None:
        return f"an object called {name!r}"
    valid = NAMESPACE.fullmatch(namespace) if KINDS[kind].namespaced else not namespace
    return None if valid else f"a {kind} in the namespace {namespace!r}"


def is_node(name: str) -> bool:
    """Whether it can be the name of a node."""
    return NAME.fullmatch(name) is not None


def is_fault(fault: str) -> bool:
    """Whether it can be the id of a fault of anybody's."""
    return FAULT.fullmatch(fault) is not None


def is_fault_of(run: str, fault: str) -> bool:
    """Whether it can be the id of a fault that a run injects: such an id begins with the run's."""
    return is_fault(fault) and fault.startswith(f"{run}-")
