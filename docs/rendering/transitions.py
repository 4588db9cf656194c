"""The state machine of a job: one row per step, one column per state."""

from __future__ import annotations

from core.state.transitions import OF_AN_ATTEMPT, TABLE, TAKEN_BY, Cell, Condition
from rendering.markdown import table


def transitions_table() -> str:
    rows = [
        (f"**{step}**{' †' if step in OF_AN_ATTEMPT else ''}, by {TAKEN_BY[step]}", *map(_cell, cells, cells.values()))
        for step, cells in TABLE.items()
    ]
    return table(("step", *map(str, Condition)), rows)


def _cell(state: Condition, cell: Cell) -> str:
    targets = [str(target) for target in Condition if target in cell.to and target != state]
    return f"→ {' or '.join(targets)}: {cell.does}" if targets else cell.does
