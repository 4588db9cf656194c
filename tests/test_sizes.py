"""Modules and functions stay small: a module that gets crowded is split by noun."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "models", "worker", "service", "launcher", "client", "docs")
SOURCES = {path.relative_to(ROOT): path.read_text("utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def test_no_module_is_longer_than_400_lines() -> None:
    assert {str(path): lines for path, text in SOURCES.items() if (lines := len(text.splitlines())) > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    """Without its signature: the options of a command are a list, not logic."""
    long = {
        f"{path}:{node.name}": lines
        for path, text in SOURCES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.body[0].lineno + 1) > 60
    }
    assert long == {}
