"""Step types and environments for tests of the language, written as a third party would; they are never run."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from offbus.cleanup import CLEANUP
from offbus.durations import Duration
from offbus.environment import Environment, EnvironmentType, Guards, Options, RunHandle, UsersChoice
from offbus.errors import UsageError
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.language.load import load_scenario
from offbus.language.scenario import Scenario
from offbus.plugins import Plugin, Registry
from offbus.scenario_step import SCENARIO
from offbus.step import Context, Expr, FromAncestor, Kind, Outputs, Params, Reads, StepType


class Target(BaseModel):
    """A nested output."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str
    replicas: int | None = None


class Backend(StrEnum):
    """An enumeration."""

    VLLM = "vllm"
    SGLANG = "sglang"


class DeployParams(Params):
    manifest: str | None = Field(None, description="Path of a manifest.")
    existing: Target | None = Field(None, description="A workload that is there already.")
    backend: Backend = Field(Backend.VLLM, description="What serves.")


class DeployOutputs(Outputs):
    target: Target | None = None
    took: timedelta | None = None


class InjectParams(Params):
    target: Annotated[Target | None, FromAncestor("target")] = Field(None, description="The workload.")
    xid: int = Field(description="The XID.", ge=1, le=200)
    planes: list[Literal["kernel", "cuda", "nvml"]] = Field(["kernel"], description="Where it shows.")
    wait: timedelta = Field(timedelta(seconds=1), description="A plain timedelta.")
    ttl: Duration = Field(timedelta(seconds=15), description="A Duration.")


class InjectOutputs(Outputs):
    node: str | None = None
    gpus: list[str] | None = None


class AskParams(Params):
    rate: float = Field(1.0, description="Requests a second.")
    env: dict[str, str] = Field({}, description="Text only.")
    node: str | None = Field(None, description="Which node.")
    size: int | Duration = Field(1, description="A union.")
    hint: Annotated[str | None, FromAncestor("node", optional=True)] = Field(
        None, description="Taken if there is one."
    )


class AskOutputs(Outputs):
    success_rate: float | None = None
    ok: bool | None = None
    latency: timedelta | None = None
    pods: list[Target] | None = None
    facts: dict[str, int] | None = None


class HoldParams(Params):
    expr: Annotated[str, Expr({"node.cordoned": "bool", "node.gpus": "int"})] = Field(
        description="A condition."
    )
    for_: Duration = Field(alias="for", description="How long.")


def _readable(path: Path, given: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise UsageError(f"{path.name} cannot be read", hint=f"{given['file']} must be a text file")


class ReadParams(Params):
    file: Annotated[str, Reads(_readable)] = Field(description="A file.")


class Nothing(Outputs):
    pass


class NoParams(Params):
    pass


async def _run(ctx: Context, params: Any) -> Outputs:
    """What it does, at length."""
    raise NotImplementedError(f"{ctx.step} {params}: tests of the language run nothing")


def _type(
    name: str, params: type[Params], outputs: type[Outputs], kind: Kind = Kind.ACTION, **more: Any
) -> StepType:
    return StepType(
        name=name, kind=kind, summary=f"The {name}.", params=params, outputs=outputs, run=_run, **more
    )


STEPS = {
    step.name: step
    for step in (
        _type(
            "deploy",
            DeployParams,
            DeployOutputs,
            timeout=timedelta(minutes=10),
            examples=("{id: d, uses: deploy}",),
        ),
        _type("inject", InjectParams, InjectOutputs, injects=True),
        _type("ask", AskParams, AskOutputs, Kind.OBSERVATION),
        _type(
            "load",
            AskParams,
            AskOutputs,
            Kind.OBSERVATION,
            background=True,
            metrics={"requests.success_rate": "double", "requests": "int"},
        ),
        _type("await_cordon", NoParams, Nothing, Kind.OBSERVATION, metrics={"time_to_cordon": "duration"}),
        _type("odd_metric", NoParams, Nothing, metrics={"time_to_cordon": "int"}),
        _type("read", ReadParams, Nothing, Kind.OBSERVATION),
        _type("hold", HoldParams, Nothing, Kind.OBSERVATION),
        CLEANUP,
        SCENARIO,
    )
}


class LocalOptions(Options):
    nodes: int = Field(3, description="How many.", ge=1)
    label: str = Field("", description="Text.")
    keys: Annotated[str, UsersChoice("it names a file of the user's")] = Field("", description="A file.")


class LocalGuards(Guards):
    max_cordoned_nodes: int = 1
    namespaces: list[str] = Field([])


class FarOptions(Options):
    context: str = Field(description="Which cluster.")


class FarGuards(Guards):
    owner: str = Field(description="Who answers for it.")


class Nowhere:
    """An opener that opens nothing."""

    def open(
        self, options: Any, guards: Any, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        raise NotImplementedError

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        raise NotImplementedError

    def identity(self, options: Any) -> str:
        raise NotImplementedError


ENVIRONMENTS = {
    "local": EnvironmentType(
        name="local", summary="Here.", options=LocalOptions, guards=LocalGuards, opener=Nowhere()
    ),
    "far": EnvironmentType(
        name="far", summary="There.", options=FarOptions, guards=FarGuards, opener=Nowhere()
    ),
}


def registry() -> Registry:
    """All of the above, and plug-ins whose packages are broken."""
    here = Registry.of(steps=STEPS, environments=ENVIRONMENTS)
    plugins, loaded = dict(here._plugins), dict(here._loaded)
    for group in ("offbus.steps", "offbus.environments", "offbus.functions"):
        plugins[group, "broken"] = Plugin(
            group, "broken", "no_such_module_of_acme:THING", "acme-drills", "2.1"
        )
    return Registry(plugins, loaded)


def load(tmp_path: Path, text: str, **overrides: Any) -> Scenario:
    """Load `text` as a scenario. Raises InvalidScenario."""
    path = tmp_path / "drill.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path, registry=registry(), **overrides)


def findings(tmp_path: Path, text: str, **overrides: Any) -> tuple[Finding, ...]:
    """The findings of a scenario; none if it is valid."""
    try:
        load(tmp_path, text, **overrides)
    except InvalidScenario as err:
        return err.findings
    return ()


def drill(steps: str, header: str = "") -> str:
    """A scenario file with these steps, each on its own line."""
    lines = "".join(f"  - {line.strip()}\n" for line in steps.strip().splitlines())
    return f"offbus: 1\nname: drill\n{header}steps:\n{lines}"
