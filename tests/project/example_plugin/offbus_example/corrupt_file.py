"""The step type `corrupt_file`: this environment's fault."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from offbus.errors import StepError
from offbus.preflight import Intent, PreflightCheck
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_example.environment import Files, files_of
from offbus_example.restore_file import RestoreFile

__all__ = ["CORRUPT_FILE"]


class CorruptFileParams(Params):
    """What `with` may hold."""

    name: str = Field(description="The file's name, without folders. It must be there.")
    keep: int = Field(default=0, ge=0, description="How many characters survive.")


class CorruptFileOutputs(Outputs):
    """What other steps and expectations can use."""

    name: str = Field(description="The file's name.")
    lost: int = Field(description="How many characters were lost.")


async def corrupt_file(ctx: Context, params: CorruptFileParams) -> CorruptFileOutputs:
    """Cut a file off, as a disk that was full does.

    The fault counts as proven when the file, read back, holds what is left and no more.
    """
    files = files_of(ctx.environment)
    before = files.read(params.name)
    if before is None:
        raise StepError(f"there is no file {params.name}", hint="write it first, with write_file")
    left = before[: params.keep]
    await ctx.undo(RestoreFile(name=params.name, before=before, intended=left))
    fault = f"{ctx.run_id}-{ctx.step}"
    ctx.fault_declared(
        fault=fault, subject=params.name, planes={"content": "the file holds more than it should"}
    )
    files.write(params.name, left)
    found = files.read(params.name)
    if found == left != before:
        evidence = {"characters": len(left)}
        ctx.fault_proven(
            fault=fault, plane="content", evidence=evidence, brief=f"{len(left)} characters left"
        )
    return CorruptFileOutputs(name=params.name, lost=len(before) - len(left))


def touches(params: Mapping[str, Any], _folder: Path) -> list[str]:
    """For `offbus plan`: what it would change, as far as its params are known before the run."""
    return [f"cuts {params.get('name', 'a file')} off after {params.get('keep', 'some')} characters"]


async def preflight(files: Files, intent: Intent) -> list[PreflightCheck]:
    """For `offbus plan`: what it finds in the folder as it is now. Changes nothing."""
    name = intent.params.get("name")
    before = files.read(name) if isinstance(name, str) else None
    if before is None:
        return [PreflightCheck(intent.topic, f"there is no file {name} yet: write it first", "warning")]
    return [PreflightCheck(intent.topic, f"{name} has {len(before)} characters")]


CORRUPT_FILE = StepType(
    name="corrupt_file",
    kind=Kind.ACTION,
    summary="Cut a file off.",
    params=CorruptFileParams,
    outputs=CorruptFileOutputs,
    run=corrupt_file,
    touches=touches,
    preflight=preflight,
    injects=True,
    examples=["{id: corrupt, uses: corrupt_file, with: {name: hello.txt, keep: 3}}"],
)
