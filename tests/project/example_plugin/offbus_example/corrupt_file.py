"""The step type `corrupt_file`: this environment's fault."""

from pydantic import Field

from offbus.errors import StepError
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_example.environment import files_of
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
        ctx.fault_proven(fault=fault, plane="content", evidence={"characters": len(left)})
    return CorruptFileOutputs(name=params.name, lost=len(before) - len(left))


CORRUPT_FILE = StepType(
    name="corrupt_file",
    kind=Kind.ACTION,
    summary="Cut a file off.",
    params=CorruptFileParams,
    outputs=CorruptFileOutputs,
    run=corrupt_file,
    injects=True,
    examples=["{id: corrupt, uses: corrupt_file, with: {name: hello.txt, keep: 3}}"],
)
