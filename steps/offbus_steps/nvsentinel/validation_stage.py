"""Whether a responder validates a repaired node before it uncordons it, so that `await_validation` can pass.

NVSentinel's fault-quarantine does when `validation.enabled` is set in its config.toml (releases from September 2026 on,
docs/configuration/validation.md): it asks for a ValidationRequest and leaves the cordon to the lifecycle-manager. The
stand-in does by `validation` of its settings. Pure, but for the listing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from offbus_steps.nvsentinel.containers import (
    STANDIN_PROFILE,
    Container,
    Setting,
    containers_in,
    files_in,
)
from offbus_steps.nvsentinel.installation import installed
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.nvsentinel.standin import STANDIN_NAME, Standin, published
from offbus_steps.port import Forbidden, Object, Objects

__all__ = ["ValidationStage", "no_validation", "validation_stages"]


@dataclass(frozen=True, slots=True)
class ValidationStage:
    """Of one responder."""

    responder: str
    enabled: Setting[bool]
    way_in: str
    """How it is switched on."""

    @property
    def why_not(self) -> str:
        """That `await_validation` cannot pass, in words."""
        return (
            f"{self.responder} has no validation stage ({self.enabled.source}): await_validation cannot pass"
        )

    @property
    def way_out(self) -> str:
        """What lets the drill pass."""
        return f"leave out await_validation, or switch it on: {self.way_in}"


async def no_validation(objects: Objects, namespace: str) -> ValidationStage | None:
    """The stage that is off, where no responder has one that is on; None when none is known. Raises PortError."""
    try:
        found = await installed(objects, namespace)
    except Forbidden:
        return None
    stages = list(validation_stages(found.deployments, found.maps))
    return None if any(one.enabled.value for one in stages) else next(iter(stages), None)


def validation_stages(deployments: Iterable[Object], maps: Iterable[Object]) -> Iterator[ValidationStage]:
    """Those of the responders in all Deployments and ConfigMaps."""
    files = files_in(maps)
    told = published(files)
    found = list(containers_in(deployments, files))
    for one in found:
        if one.name == Part.FAULT_QUARANTINE:
            yield _nvsentinel(one)
        elif one.is_standin:
            file = one.files.get("config.json")
            given = file.table("validation") if file else {}
            source = f"{file} validation.enabled" if "enabled" in given else ""
            yield _standin(told, {**told.section("validation"), **given}.get("enabled"), source)
    if told.profile and not any(one.name == Part.FAULT_QUARANTINE or one.is_standin for one in found):
        yield _standin(told, told.section("validation").get("enabled"), "")


def _nvsentinel(container: Container) -> ValidationStage:
    file = container.files.get("config.toml")
    enabled = file is not None and file.table("validation").get("enabled") is True
    source = f"{file} validation.enabled" if file else "the documented default of validation.enabled"
    return ValidationStage(
        f"NVSentinel ({container.of})",
        Setting(enabled, source),
        "`fault-quarantine.validation.enabled` of the chart, and the lifecycle-manager",
    )


def _standin(told: Standin, enabled: object, source: str) -> ValidationStage:
    where = f"{STANDIN_PROFILE} settings.validation.enabled, {told}" if told.profile else "by default"
    return ValidationStage(
        STANDIN_NAME,
        Setting(enabled is True, source or where),
        '`{"profile": "v1.33", "validation": {"enabled": true}}`',
    )
