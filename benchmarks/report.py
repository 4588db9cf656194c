"""Reports of benchmarks: a table for people, JSON for programs, and whether the claims held."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One measured value. `claim`: what the documentation promises, in words; `held`: whether this run kept it;
    `spread`: standard deviation over seeds if `value` is their mean."""

    what: str
    value: float
    unit: str
    claim: str = ""
    held: bool | None = None
    spread: float | None = None


def report(name: str, rows: list[Row]) -> bool:
    """Print the table and write `results/<name>.json`. True if all claims held."""
    width = max(len(row.what) for row in rows)
    for row in rows:
        verdict = "" if row.held is None else ("  held" if row.held else "  MISSED")
        spread = "" if row.spread is None else f"± {row.spread:.2f}  "
        print(f"{row.what:<{width}}  {row.value:>10.2f} {row.unit:<3}  {spread}{row.claim}{verdict}")
    RESULTS.mkdir(exist_ok=True)
    machine = {"cpu": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    data = {"benchmark": name, "machine": machine, "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1))
    return all(row.held is not False for row in rows)
