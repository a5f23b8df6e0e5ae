"""The gateway's configuration: its guards, who and what it allows, and how long a fault lives. From a YAML file.

guards: {namespaces: ["drill-*"], max_cordoned_nodes: 1}
nodes: ["gpu-drill-*"]
longest: 10m
"""

from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from offbus.durations import Duration, format_duration
from offbus.errors import UsageError
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["GatewayConfig", "read_config"]

LARGEST = 1 << 16
"""Bytes of the file."""
LIFETIME = timedelta(hours=24)
"""The longest that any fault lives, however often it is renewed."""


class GatewayConfig(BaseModel):
    """What the gateway allows."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    guards: ClusterGuards = Field(
        default=ClusterGuards(), description="The guards of every fault, as in a scenario."
    )
    nodes: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Shell patterns of the nodes that faults may go to."
    )
    longest: Duration = Field(
        default=timedelta(minutes=10),
        description="How long a fault lives without `duration`, and at most until it is renewed.",
    )
    per_minute: int = Field(default=30, ge=1, le=6000, description="Injections a minute, after a burst.")
    burst: int = Field(default=10, ge=1, le=1000, description="Injections at once.")
    keep: int = Field(
        default=50, ge=1, le=10_000, description="How many folders of finished faults are kept."
    )
    patience: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the undo waits for the responder, each time, before it tries the next way.",
    )
    answer_within: Duration = Field(
        default=timedelta(seconds=25),
        description="How long a recover waits for the undo before it answers 202; the published client waits 30 s.",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(seconds=1) <= self.longest <= LIFETIME:
            raise ValueError(f"longest: it must be from 1s to {format_duration(LIFETIME)}")
        return self

    def allows_node(self, node: str) -> bool:
        """Whether faults may go to a node of that name."""
        return any(fnmatchcase(node, pattern) for pattern in self.nodes)


def read_config(path: Path | None) -> GatewayConfig:
    """Of a file, or the defaults. Raises UsageError with every mistake."""
    if path is None:
        return GatewayConfig()
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise UsageError(
                f"{path} has more than {LARGEST} bytes", hint="a configuration is a page at most"
            )
        return GatewayConfig.model_validate(yaml.safe_load(text) or {})
    except OSError as err:
        raise UsageError(f"{path} cannot be read: {err.strerror}") from err
    except yaml.YAMLError as err:
        raise UsageError(f"{path} is no YAML: {err}") from err
    except ValidationError as err:
        wrong = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in err.errors()]
        known = ", ".join(GatewayConfig.model_fields)
        raise UsageError(f"{path}: {'; '.join(wrong)}", hint=f"it may have: {known}") from err
