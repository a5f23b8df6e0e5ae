"""Every setting of the stand-in responder but its defaults, which are the profile's: one model, one JSON file for both
programs.

Times are seconds. What a file does not set follows from its profile (`offbus_sandbox.responder.profiles`), and from the
scale that divides the profile's delays; what it sets counts as it stands. The default profile suits `local`: everything
within half a second. A file that cannot be read, an unknown key or a wrong type is a `UsageError` that names the file.
Must not: read the environment, or change while a program runs.
"""

from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from offbus.errors import UsageError
from offbus_sandbox.responder.profiles import DEFAULT, PROFILES, ProfileName
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.breaker_rule import PERCENTAGE, WINDOW
from offbus_steps.nvsentinel.drain_rules import SYSTEM_PATTERN, DrainMode

__all__ = [
    "Breaker",
    "DrainPolicy",
    "JanitorMode",
    "ResponderConfig",
    "Validation",
    "load_config",
]


_QUICK = PROFILES[DEFAULT].settings(PROFILES[DEFAULT].scale)
"""What is set where nothing is configured; schemas and documents show it."""


LISTED = BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given)
"""Options of a scenario are validated strictly, as JSON; what went through a validator in Python is none any more."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JanitorMode(StrEnum):
    """What the controller does with the maintenance resources that it created."""

    SIMULATE = "simulate"
    MANUAL = "manual"


class DrainPolicy(_Model):
    """The namespaces to drain, and how (NVSentinel: `userNamespaces`)."""

    name: str = Field(description="Namespace name or shell pattern.", examples=["drill-*"])
    mode: DrainMode = Field(description="How its pods leave the node.")


class Breaker(_Model):
    """The circuit breaker: prevents that the whole cluster is cordoned."""

    enabled: bool = Field(
        default=False,
        description="NVSentinel: on. Off here: one node of three already exceeds any useful share.",
    )
    percentage: float = Field(
        default=PERCENTAGE,
        gt=0,
        le=100,
        description="Share of GPU nodes cordoned within `duration_s` that trips it.",
    )
    duration_s: float = Field(default=WINDOW.total_seconds(), gt=0, description="The window. NVSentinel: 5m.")
    namespace: str = Field(
        default=names.USUAL_NAMESPACE,
        description="Namespace of the ConfigMap `circuit-breaker`, and of the datastore's.",
    )


class Validation(_Model):
    """The validation of a repaired node, before it is uncordoned. Nothing is tested; the result is set here."""

    enabled: bool = Field(
        default=False,
        description="Only profile v1.33 has it. NVSentinel: off (`fault-quarantine.validation`).",
    )
    actions: Annotated[tuple[str, ...], LISTED] = Field(
        default=("RESTART_VM", "RESTART_BM"),
        description="The recommended actions of events that ask for tests, as the chart's rule set has it.",
    )
    tests: Annotated[tuple[str, ...], LISTED] = Field(
        default=("dcgm-diag-test",), description="The names of the tests."
    )
    result: Literal["Succeeded", "Failed"] = Field(
        default="Succeeded", description="How each validation ends."
    )


class ResponderConfig(_Model):
    """All settings; every field has a default, by the profile and its scale."""

    profile: ProfileName = Field(
        default=DEFAULT,
        description="Which release of NVSentinel it plays; `fast` is main-2026-08, quick enough for a sandbox.",
    )
    scale: float = Field(
        default=PROFILES[DEFAULT].scale,
        gt=0,
        le=1000,
        description="What the profile's delays are divided by. Default: 20 for `fast`, 1 for the others.",
    )
    poll_s: float = Field(
        default=_QUICK["poll_s"],
        ge=0,
        description="Detector: 0 follows the kernel log by events. NVSentinel polls every 15 s.",
    )
    detect_delay_s: float = Field(
        default=_QUICK["detect_delay_s"],
        ge=0,
        description="Detector: from a batch of kernel lines to the condition. NVSentinel: 0-15 s.",
    )
    dedup_window_s: float = Field(
        default=_QUICK["dedup_window_s"],
        ge=0,
        description="Detector: repeats of a fault within this are dropped. NVSentinel: 3m.",
    )
    only_known_gpus: bool = Field(
        default=False,
        description="Detector: ignore lines about PCI addresses not in the node's metadata, for nodes "
        "that share one kernel. NVSentinel has no such filter.",
    )
    condition_delay_s: float = Field(
        default=_QUICK["condition_delay_s"],
        ge=0,
        description="Detector: from the stored event to the node's condition. NVSentinel writes both by independent "
        "ways: the cordon was seen 0.2 s before the condition.",
    )
    quarantine_delay_s: float = Field(
        default=_QUICK["quarantine_delay_s"],
        ge=0,
        description="Event to cordon. NVSentinel: 2.9 s (p50 of a 200-node burst).",
    )
    drain_delay_s: float = Field(
        default=_QUICK["drain_delay_s"],
        ge=0,
        description="Cordon to first eviction (`draining`). NVSentinel: 0.1 s.",
    )
    drain_retry_s: float = Field(
        default=_QUICK["drain_retry_s"],
        gt=0,
        description="Pause between two looks at a drain, which changes do not shorten. NVSentinel: 10 s.",
    )
    remediate_delay_s: float = Field(
        default=_QUICK["remediate_delay_s"],
        ge=0,
        description="Drained to maintenance resource. NVSentinel: 0.2 to 0.3 s.",
    )
    reset_by: Literal["RebootNode", "GPUReset"] = Field(
        default=names.REBOOT, description="What COMPONENT_RESET asks for. NVSentinel's chart: RebootNode."
    )
    earlier_cordon: Literal["kept", "lifted"] = Field(
        default=_QUICK["earlier_cordon"],
        description="What becomes of a cordon from before the quarantine at its end.",
    )
    dry_run: bool = Field(
        default=False,
        description="Annotate and label, but neither cordon, evict nor request maintenance. NVSentinel: false.",
    )
    janitor: JanitorMode = Field(
        default=JanitorMode.SIMULATE,
        description="simulate: complete maintenance resources and report the repair as the node would; "
        "manual: leave them to somebody else, as NVSentinel's `janitor.config.manualMode`.",
    )
    janitor_delay_s: float = Field(
        default=_QUICK["janitor_delay_s"],
        ge=0,
        description="Maintenance resource to its completion. NVSentinel: 3 to 9 s (provider `kind`).",
    )
    signal_delay_s: float = Field(
        default=_QUICK["signal_delay_s"],
        ge=0,
        description="Of `janitor_delay_s`: until the repair begins (`SignalSent`); before it, the resource is pending.",
    )
    uncordon_delay_s: float = Field(
        default=_QUICK["uncordon_delay_s"],
        ge=0,
        description="Last fault cleared to uncordon. NVSentinel: at once, after the event.",
    )
    validation: Validation = Field(default=Validation(), description="See Validation.")
    validation_delay_s: float = Field(
        default=_QUICK["validation_delay_s"],
        ge=0,
        description="How long a validation runs. NVSentinel: minutes; one example took 8.",
    )
    drain: Annotated[tuple[DrainPolicy, ...], LISTED] = Field(
        default=(DrainPolicy(name="*", mode=DrainMode.IMMEDIATE),),
        description="On overlap Immediate beats DeleteAfterTimeout beats AllowCompletion. A namespace without a "
        "policy is not drained. NVSentinel's default is AllowCompletion for `*`: no time limit.",
    )
    delete_after_timeout_s: float = Field(
        default=3600,
        ge=0,
        description="DeleteAfterTimeout: force delete this long after the fault. NVSentinel: 60m.",
    )
    not_ready_timeout_s: float = Field(
        default=300, ge=0, description="Pods not ready for longer are not waited for. NVSentinel: 5m."
    )
    system_namespaces: str = Field(
        default=SYSTEM_PATTERN,
        description="Regular expression of namespaces never drained (NVSentinel's own).",
    )
    circuit_breaker: Breaker = Field(default=Breaker(), description="See Breaker.")

    @model_validator(mode="before")
    @classmethod
    def _by_profile(cls, given: Any) -> Any:
        """Add what follows from the profile; a section that is set in part is completed. What is wrong stays so."""
        if not isinstance(given, Mapping):
            return given
        profile, scale = PROFILES.get(str(given.get("profile", DEFAULT))), given.get("scale")
        if profile is None or not isinstance(scale, int | float | None) or (scale is not None and scale <= 0):
            return given
        scale = profile.scale if scale is None else scale
        own = {key: value for key, value in profile.settings(scale).items() if value != _QUICK.get(key)}
        if isinstance(breaker := given.get("circuit_breaker"), Mapping):
            own["circuit_breaker"] = {**own.get("circuit_breaker", {}), **breaker}
            given = {key: value for key, value in given.items() if key != "circuit_breaker"}
        return {**own, **given, "scale": scale}

    @field_validator("validation")
    @classmethod
    def _has_stage(cls, asked: Validation, info: ValidationInfo) -> Validation:
        profile = PROFILES[info.data.get("profile", DEFAULT)]
        if asked.enabled and not profile.validates:
            can = " or ".join(name for name, one in PROFILES.items() if one.validates)
            raise ValueError(f"{profile.name} does not validate; use profile {can}")
        return asked

    @property
    def changed(self) -> tuple[str, ...]:
        """The settings that are not the profile's own."""
        own = type(self)(profile=self.profile, scale=self.scale)
        return tuple(name for name in type(self).model_fields if getattr(self, name) != getattr(own, name))

    @property
    def published(self) -> Mapping[str, str]:
        """What the controller says of itself (offbus_steps.nvsentinel.standin): what it plays, with all settings; and
        how long it may take, for which a drill watches its node after its end."""
        return {
            "longest_way_s": f"{self.longest_way_s:g}",
            "circuit_breaker": self.circuit_breaker.model_dump_json(),
            "plays": PROFILES[self.profile].plays or self.profile,
            "settings": self.model_dump_json(),
            "changed": " ".join(self.changed),
        }

    @property
    def longest_way_s(self) -> float:
        """How long it may take from a line in the kernel log to the request of a repair, when nothing has to leave."""
        return (
            self.poll_s
            + self.detect_delay_s
            + self.quarantine_delay_s
            + self.drain_delay_s
            + self.drain_retry_s
            + self.remediate_delay_s
        )

    def drain_mode(self, namespace: str) -> DrainMode | None:
        """How pods of a namespace are drained; None: not at all."""
        wanted = {policy.mode for policy in self.drain if fnmatchcase(namespace, policy.name)}
        return next((mode for mode in DrainMode if mode in wanted), None)


def load_config(path: str | None) -> ResponderConfig:
    """The settings of a JSON file; all defaults without one. Raises UsageError."""
    if path is None:
        return ResponderConfig()
    try:
        return ResponderConfig.model_validate_json(Path(path).read_bytes())
    except OSError as err:
        raise UsageError(f"cannot read the responder configuration {path}: {err.strerror}") from err
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(
            f"responder configuration {path}: {where}: {first['msg']}",
            hint="see docs/responder.md for all settings",
        ) from err
