"""What `load`, `baseline` and `verify_inference` send, for `offbus plan`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["touches_frontend", "touches_frontend_or_node", "touches_load"]


def touches_load(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """Its rate."""
    rate = params.get("rate")
    told = f"{rate:g} requests a second" if isinstance(rate, int | float) else "requests"
    return [f"sends {told} to the target's frontend, until the other steps have ended"]


def touches_frontend(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """How many requests."""
    return [f"sends {_number(params)} to the target's frontend"]


def touches_frontend_or_node(params: Mapping[str, Any], _folder: Path) -> Iterable[str]:
    """How many requests, and to whom."""
    node = params.get("node", "a node that is known only during the run")
    return [f"sends {_number(params)} to the target's {f'pods on {node}' if node else 'frontend'}"]


def _number(params: Mapping[str, Any]) -> str:
    return f"{params.get('requests', 'some')} requests, one after the other,"
