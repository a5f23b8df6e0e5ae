"""Which parts of a responder are in dry run, and what cannot be awaited therefore.

NVSentinel's parts have a flag `--dry-run` each (the chart: `global.dryRun`), the stand-in has a setting. In a dry run a
node gets the marks of a quarantine, up to the state `remediation-succeeded`, and is neither cordoned, drained nor
repaired (NVSentinel's tests/uat/tests.sh; reference/nvsentinel-observed.md). Pure, but for the listing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from offbus_steps.nvsentinel.containers import STANDIN_PROFILE, ConfigFile, Setting, containers_in, files_in
from offbus_steps.nvsentinel.installation import installed
from offbus_steps.nvsentinel.parts import ACTING, Act
from offbus_steps.nvsentinel.standin import STANDIN_NAME, published
from offbus_steps.port import Forbidden, Object, Objects, Ref

__all__ = ["ACTING_HINT", "DryPart", "acting", "dry_part", "parts_of"]

ACTING_HINT = "set the responder's dry run, or remove `responder` from the environment"

ALL = tuple(act for acts in ACTING.values() for act in acts)
WAYS_OUT = (
    "use await_detection and await_quarantine, which a dry run answers; leave {step} out; or take the responder out of "
    "dry run"
)


@dataclass(frozen=True, slots=True)
class DryPart:
    """One part of a responder."""

    name: str
    dry: Setting[bool]
    stops: tuple[Act, ...]
    """What its dry run leaves out."""

    def why_not(self, step: str) -> str:
        """That such a step cannot pass, in words."""
        return f"{self.name} is in dry run ({self.dry.source}): {step} cannot pass"

    @staticmethod
    def way_out(step: str) -> str:
        """What lets the drill pass."""
        return WAYS_OUT.format(step=step)


async def parts_of(objects: Objects, namespace: str) -> tuple[DryPart, ...]:
    """Those of the responder in a namespace; none where they cannot be read. Raises PortError."""
    try:
        found = await installed(objects, namespace)
    except Forbidden:
        return ()
    return tuple(parts_in(found.deployments, found.maps))


def acting(parts: Iterable[DryPart]) -> list[str]:
    """Why a drill that counts on a dry run would be answered for real, or might be; nothing when all are in one."""
    known = list(parts)
    if not known:
        return ["the environment's `responder` is dry_run, and no responder is known to be in dry run"]
    return [
        f"the environment's `responder` is dry_run, and {one.name} would really act: it is not in dry run "
        f"({one.dry.source})"
        for one in known
        if not one.dry.value
    ]


def dry_part(parts: Iterable[DryPart], waits_for: Collection[Any]) -> DryPart | None:
    """The part whose dry run keeps a step from passing that waits for these (offbus.step.StepType.waits_for)."""
    return next((one for one in parts if one.dry.value and not set(waits_for).isdisjoint(one.stops)), None)


def parts_in(deployments: Iterable[Object], maps: Iterable[Object]) -> Iterator[DryPart]:
    """Those in all Deployments and ConfigMaps."""
    files = files_in(maps)
    found = list(containers_in(deployments, files))
    for one in found:
        if one.name in ACTING:
            yield DryPart(f"NVSentinel's {one.name}", one.is_set("dry-run"), ACTING[one.name])
        elif one.is_standin:
            yield DryPart(STANDIN_NAME, standin_dry_run(one.files, files), ALL)
    if STANDIN_PROFILE in files and not any(one.name in ACTING or one.is_standin for one in found):
        yield DryPart(STANDIN_NAME, standin_dry_run({}, files), ALL)


def standin_dry_run(
    mounted: Mapping[str, ConfigFile], files: Mapping[Ref, Mapping[str, ConfigFile]]
) -> Setting[bool]:
    """The stand-in's setting: of its configuration file, else of what it says of itself."""
    file = mounted.get("config.json")
    given = file.table() if file else {}
    if "dry_run" in given:
        return Setting(given["dry_run"] is True, f"{file} dry_run")
    told = published(files)
    return Setting(told.settings.get("dry_run") is True, f"{STANDIN_PROFILE} settings.dry_run")
