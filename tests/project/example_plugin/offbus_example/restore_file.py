"""The undo type `restore_file`: gives a file back the text that it had."""

from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_example.environment import files_of

__all__ = ["RestoreFile"]


class RestoreFile(Undo):
    """Everything that is needed to undo from another process, after `kill -9`."""

    name: str = Field(description="The file's name.")
    before: str | None = Field(description="Its text before the step; None: there was no such file.")
    intended: str = Field(description="The text that the step set out to write.")

    def describe(self) -> str:
        """One line for people."""
        return f"restore {self.name}" if self.before is not None else f"remove {self.name}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        """Restore what was before, unless somebody else changed the file meanwhile."""
        files = files_of(ctx.environment)
        now = files.read(self.name)
        if now == self.before:
            return UndoResult.nothing(f"{self.name} is as it was")
        if now != self.intended:
            return UndoResult.conflict(f"{self.name} was changed by somebody else")
        files.write(self.name, self.before)
        if files.read(self.name) != self.before:
            return UndoResult.conflict(f"{self.name} was changed while it was restored")
        return UndoResult.restored()
