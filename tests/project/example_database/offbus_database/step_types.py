"""The step types `insert_rows`, `lose_rows` (the fault of this environment) and `check_rows`, with their metrics."""

import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import Field

from offbus.declared import Metric
from offbus.errors import StepError
from offbus.preflight import Intent, PreflightCheck
from offbus.step import Context, Kind, Outputs, Params, StepType
from offbus_database.environment import Database, database_of
from offbus_database.restore_rows import RestoreRows

__all__ = ["CHECK_ROWS", "INSERT_ROWS", "LOSE_ROWS"]


class InsertParams(Params):
    """What `with` may hold."""

    table: str = Field(description="The table.")
    rows: int = Field(ge=1, description="How many rows to add.")


class LoseParams(Params):
    """What `with` may hold."""

    table: str = Field(description="The table.")
    keep: int = Field(ge=0, description="How many rows survive.")


class CheckParams(Params):
    """What `with` may hold."""

    table: str = Field(description="The table.")
    expected: int = Field(ge=1, description="How many rows there should be.")


class RowOutputs(Outputs):
    """What other steps and expectations can use."""

    found: int = Field(description="How many rows there are.")


async def insert_rows(ctx: Context, params: InsertParams) -> RowOutputs:
    """Add rows to a table."""
    database = database_of(ctx.environment)
    before = database.rows(params.table)
    after = [*before, *(f"row {number}" for number in range(params.rows))]
    await ctx.undo(RestoreRows(table=params.table, before=before, intended=after))
    database.replace(params.table, after)
    ctx.observed(
        lane="table",
        subject=f"Table/{params.table}",
        to="filled",
        evidence={"file": database.file.name, "vacuums": 2},
        tone="good",
        brief=f"{params.rows} rows more",
    )
    return RowOutputs(found=len(database.rows(params.table)))


async def lose_rows(ctx: Context, params: LoseParams) -> RowOutputs:
    """Lose the newest rows of a table. Proven when the table, read back, holds those that are left and no more."""
    database = database_of(ctx.environment)
    before = database.rows(params.table)
    kept = before[: params.keep]
    if kept == before:
        raise StepError(f"{params.table} has only {len(before)} rows", hint="keep fewer")
    await ctx.undo(RestoreRows(table=params.table, before=before, intended=kept))
    fault = f"{ctx.run_id}-{ctx.step}"
    ctx.fault_declared(fault=fault, subject=f"table {params.table}", planes={"rows": "all rows are there"})
    database.replace(params.table, kept)
    if database.rows(params.table) == kept:
        lost = [*before[params.keep :]]
        brief = f"{len(lost)} of {len(before)} rows gone"
        ctx.fault_proven(fault=fault, plane="rows", evidence={"lost": lost}, brief=brief)
        ctx.observed(
            lane="table",
            subject=f"Table/{params.table}",
            to="torn",
            was="whole",
            evidence={"lost": lost, "file": database.file.name},
            tone="bad",
            brief=brief,
        )
    return RowOutputs(found=len(kept))


async def check_rows(ctx: Context, params: CheckParams) -> RowOutputs:
    """Read a table as its readers do, and measure how much of it is there."""
    begun = time.monotonic()
    found = len(database_of(ctx.environment).rows(params.table))
    ctx.metric("rows.read", found)
    ctx.metric("rows.intact", found / params.expected)
    ctx.metric("query_time", timedelta(seconds=time.monotonic() - begun))
    ctx.metric("row_size", 5.0)
    whole = found >= params.expected
    ctx.observed(
        lane="reader",
        subject=params.table,
        to="complete" if whole else "short",
        tone="good" if whole else "caution",
        evidence={"found": found},
        brief=f"{found} of {params.expected} rows",
    )
    return RowOutputs(found=found)


def touches_rows(params: Mapping[str, Any], _folder: Path) -> list[str]:
    """For `offbus plan`."""
    return [f"deletes the rows of {params.get('table', 'a table')} after the first {params.get('keep', '…')}"]


async def preflight_rows(database: Database, intent: Intent) -> list[PreflightCheck]:
    """For `offbus plan`: what it finds now. Changes nothing."""
    table = str(intent.params.get("table"))
    return [PreflightCheck(intent.topic, f"{table} has {len(database.rows(table))} rows")]


INSERT_ROWS = StepType(
    name="insert_rows",
    kind=Kind.ACTION,
    summary="Add rows to a table.",
    params=InsertParams,
    outputs=RowOutputs,
    run=insert_rows,
)
LOSE_ROWS = StepType(
    name="lose_rows",
    kind=Kind.ACTION,
    summary="Lose the newest rows of a table.",
    params=LoseParams,
    outputs=RowOutputs,
    run=lose_rows,
    touches=touches_rows,
    preflight=preflight_rows,
    injects=True,
)
CHECK_ROWS = StepType(
    name="check_rows",
    kind=Kind.OBSERVATION,
    summary="Read a table and count its rows.",
    params=CheckParams,
    outputs=RowOutputs,
    run=check_rows,
    metrics={
        "row_size": Metric("double", "Bytes of a row.", unit="B", group="storage", label="{} a row", order=9),
        "query_time": Metric("duration", "How long the read took.", order=5),
        "rows.intact": Metric(
            "double", "Rows that are there, of all.", share=True, group="rows", label="{} intact", order=2
        ),
        "rows.read": Metric("int", "Rows read.", group="rows", label="{} read", order=1, often=True),
    },
)
