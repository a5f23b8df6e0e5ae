"""The step type `write_file`."""

from pydantic import Field

from offbus.errors import StepFailed
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_example.environment import files_of
from offbus_example.restore_file import RestoreFile

__all__ = ["WRITE_FILE"]


class WriteFileParams(Params):
    """What `with` may hold."""

    name: str = Field(description="The file's name, without folders.")
    text: str = Field(description="What the file holds afterwards.")


class WriteFileOutputs(Outputs):
    """What other steps and expectations can use."""

    name: str = Field(description="The file's name.")
    bytes: int = Field(description="The size of the file, read back.")


async def write_file(ctx: Context, params: WriteFileParams) -> WriteFileOutputs:
    """Write a file, and read it back.

    The undo gives the file back the text that it had, or removes it when there was none.
    """
    files = files_of(ctx.environment)
    await ctx.undo(RestoreFile(name=params.name, before=files.read(params.name), intended=params.text))
    files.write(params.name, params.text)
    found = files.read(params.name)
    if found != params.text:
        raise StepFailed(f"{params.name} does not hold what was written")
    return WriteFileOutputs(name=params.name, bytes=len(found.encode()))


WRITE_FILE = StepType(
    name="write_file",
    kind=Kind.ACTION,
    summary="Write a file of the folder.",
    params=WriteFileParams,
    outputs=WriteFileOutputs,
    run=write_file,
    examples=["{id: greet, uses: write_file, with: {name: hello.txt, text: hello}}"],
)
