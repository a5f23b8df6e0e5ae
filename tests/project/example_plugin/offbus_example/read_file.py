"""The step type `read_file`."""

from pydantic import Field

from offbus.errors import StepFailed
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_example.environment import files_of

__all__ = ["READ_FILE"]


class ReadFileParams(Params):
    """What `with` may hold."""

    name: str = Field(description="The file's name, without folders.")


class ReadFileOutputs(Outputs):
    """What other steps and expectations can use."""

    text: str = Field(description="What the file holds.")
    words: int = Field(description="How many words that is.")


async def read_file(ctx: Context, params: ReadFileParams) -> ReadFileOutputs:
    """Read a file. It fails when there is no such file."""
    text = files_of(ctx.environment).read(params.name)
    if text is None:
        raise StepFailed(f"there is no file {params.name}")
    return ReadFileOutputs(text=text, words=len(text.split()))


READ_FILE = StepType(
    name="read_file",
    kind=Kind.OBSERVATION,
    summary="Read a file of the folder.",
    params=ReadFileParams,
    outputs=ReadFileOutputs,
    run=read_file,
    examples=['{id: look, uses: read_file, with: {name: hello.txt}, expect: ["outputs.words == 1"]}'],
)
