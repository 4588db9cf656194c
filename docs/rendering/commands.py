"""The help of `vireo` and of each of its commands, as a terminal of 100 columns shows it without colours."""

from __future__ import annotations

from typing import Any

import typer
from typer.main import get_command

from rendering.markdown import code, table
from vireo.cli.app import build_cli
from vireo.cli.exit_codes import MEANINGS

WIDTH = 100


def help_texts(cli: typer.Typer) -> dict[str, str]:
    """Full name of the command → its help."""
    root: Any = get_command(cli)
    context = _context(root, "vireo", None)
    texts = {"vireo": root.get_help(context)}
    for name, command in sorted(root.commands.items()):
        texts |= _texts(command, name, context)
    return texts


def _texts(command: Any, name: str, parent: Any) -> dict[str, str]:
    """The help of a command, and of those below it."""
    context = _context(command, name, parent)
    texts = {context.command_path: command.get_help(context)}
    for below, each in sorted(getattr(command, "commands", {}).items()):
        texts |= _texts(each, below, context)
    return texts


def help_sections() -> str:
    return "\n\n".join(f"## {name}\n\n```\n{text.strip()}\n```" for name, text in help_texts(build_cli()).items())


def exit_codes_table() -> str:
    """Exit status → what it means."""
    return table(("exit status", "why"), [(code(str(each.value)), meaning) for each, meaning in MEANINGS.items()])


def _context(command: Any, name: str, parent: Any) -> Any:
    """Without rich markup, typer returns the help as text; with it, typer prints boxes of the terminal's width."""
    command.rich_markup_mode = None
    return command.context_class(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH, color=False
    )
