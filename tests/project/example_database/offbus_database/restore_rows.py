"""The undo type `restore_rows`: gives a table back the rows that it had."""

from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_database.environment import database_of

__all__ = ["RestoreRows"]


class RestoreRows(Undo):
    """Everything that is needed to undo from another process."""

    table: str = Field(description="The table.")
    before: list[str] = Field(description="Its rows before the step.")
    intended: list[str] = Field(description="The rows that the step set out to leave.")

    def describe(self) -> str:
        """One line for people."""
        return f"restore {len(self.before)} rows of {self.table}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        """Restore the rows, unless somebody else changed them meanwhile."""
        database = database_of(ctx.environment)
        now = database.rows(self.table)
        if now == self.before:
            return UndoResult.nothing(f"{self.table} is as it was")
        if now != self.intended:
            return UndoResult.conflict(f"{self.table} was changed by somebody else")
        database.replace(self.table, self.before)
        if database.rows(self.table) != self.before:
            return UndoResult.conflict(f"{self.table} was changed while it was restored")
        ctx.recorder.observed(
            lane="table",
            subject=f"Table/{self.table}",
            to="whole",
            was="torn",
            evidence={"file": database.file.name},
            tone="good",
        )
        return UndoResult.restored(f"{len(self.before)} rows read back")
