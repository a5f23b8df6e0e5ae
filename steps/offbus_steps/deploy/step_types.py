"""`deploy`: the target. It creates the objects of a manifest, or takes a workload that is already there.

    - {id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml}}
    - {id: deploy, uses: deploy, with: {existing: {kind: Deployment, name: llm, namespace: prod}}}
    - {id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml, namespace: drill, ephemeral: true,
                                        set: {model: Qwen/Qwen3-8B, tensor_parallel: 2, log_level: debug}}}

This module only declares it; offbus_steps.deploy.deploy runs it.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from offbus.step import Kind, Outputs, Params, Reads, StepType
from offbus_steps.access import access
from offbus_steps.watch.access import OWNER_ACCESS, TARGET_ACCESS
from offbus_steps.workloads.manifest import ALLOWED_KINDS, read_manifest, target_in
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS, WorkloadKind

__all__ = ["DEPLOY", "DeployOutputs", "DeployParams", "Existing", "Settings"]

COLLECT_ACCESS = (
    OWNER_ACCESS
    | access("get", *WORKLOAD_KINDS)
    | access("list", "Pod", "Event")
    | access("get", "Pod", subresource="log")
)
"""What `offbus_steps.deploy.collect.collect` uses; its undo needs no access of its own."""


class Existing(BaseModel):
    """A workload that is already there."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: WorkloadKind = Field(description="Its kind.")
    name: str = Field(description="Its name.")
    namespace: str = Field(description="Its namespace.")


class Settings(BaseModel):
    """What to set in the manifest's target."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    image: str | None = Field(
        default=None,
        min_length=1,
        description="Image of the containers that request GPUs, and of all others that had the same image.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="The model, wherever a container's command, args or env names one.",
    )
    tensor_parallel: int | None = Field(
        default=None, ge=1, description="GPUs for each replica: the engine's flag, and what its pods request."
    )
    log_level: str | None = Field(
        default=None, pattern=r"^[a-z_=:,]+$", description="Dynamo's log level (DYN_LOG), such as debug."
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="Environment variables of the containers that request GPUs."
    )


def _check_manifest(path: Path, given: Mapping[str, Any]) -> None:
    """Reports what is wrong with a manifest when the scenario is loaded. Raises StepError."""
    workload = given.get("workload")
    if workload is None or isinstance(workload, str):
        target_in(read_manifest(path), workload)


class DeployParams(Params):
    """Exactly one of `manifest` and `existing`."""

    manifest: Annotated[str | None, Reads(_check_manifest)] = Field(
        default=None,
        description="YAML file with the objects to create, relative to the scenario and in its repository.",
    )
    existing: Existing | None = Field(
        default=None, description="A workload that is already there; it is not changed."
    )
    workload: str | None = Field(
        default=None, description="Which workload of the manifest is the target, when it holds several."
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port of the frontend, when the workload does not declare it.",
    )
    namespace: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$",
        description="Namespace of the manifest's objects, whichever they name. Created when it does not exist.",
    )
    ephemeral: bool = Field(
        default=False,
        description="Create a namespace for this run alone, named after `namespace` and the run's id, and delete it "
        "with everything in it.",
    )
    settings: Settings | None = Field(
        default=None, alias="set", description="What to change in the manifest's target before it is created."
    )
    collect: bool = Field(
        default=True,
        description="Write the target's logs, events and manifests into the run's folder before anything is undone.",
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.manifest is None) == (self.existing is None):
            raise ValueError("set exactly one of manifest and existing")
        if self.existing is not None and (self.namespace or self.ephemeral or self.settings):
            raise ValueError(
                "an existing workload is not changed: namespace, ephemeral and set need a manifest"
            )
        if self.ephemeral and self.namespace is None:
            raise ValueError("ephemeral needs `namespace`, the prefix of the new namespace's name")
        return self


class DeployOutputs(Outputs):
    """The target, ready."""

    target: Target = Field(description="The workload under test; later steps take it by default.")
    replicas: int = Field(description="How many of its pods are ready.")
    created: list[str] = Field(description="What was created, in order.")


DEPLOY = StepType(
    name="deploy",
    kind=Kind.ACTION,
    summary="Create the target from a manifest, or take an existing workload, and wait until it is ready.",
    params=DeployParams,
    outputs=DeployOutputs,
    run="offbus_steps.deploy.deploy:deploy",
    timeout=timedelta(minutes=10),
    touches="offbus_steps.deploy.preflight:touches",
    preflight="offbus_steps.deploy.preflight:preflight",
    access=TARGET_ACCESS | COLLECT_ACCESS | access("get create", *ALLOWED_KINDS),
    examples=(
        "{id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml}}",
        "{id: deploy, uses: deploy, with: {existing: {kind: Deployment, name: llm, namespace: prod}}}",
        "{id: deploy, uses: deploy, with: {manifest: targets/vllm.yaml, namespace: drill, ephemeral: true}}",
    ),
)
