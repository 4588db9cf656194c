"""The map of the house: what each folder holds, and the import rules that `make check` enforces."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from rendering.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "models", "worker", "service", "launcher", "client/vireo")


def rooms_table() -> str:
    """Every package with the docstring of its `__init__.py`."""
    return table(
        ("folder", "what lives there"),
        [
            (code(f"{init.parent.relative_to(ROOT)}/"), ast.get_docstring(ast.parse(init.read_text("utf-8"))) or "")
            for room in ROOMS
            for init in sorted((ROOT / room).rglob("__init__.py"))
        ],
    )


def import_rules() -> str:
    """The names of import-linter's contracts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return "\n".join(f"- {contract['name']}" for contract in project["tool"]["importlinter"]["contracts"])
