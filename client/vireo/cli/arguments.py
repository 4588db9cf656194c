"""How the words of a command line are read: labels, videos, and groups of commands that list by default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from vireo.cli.many_videos import SUFFIXES


class ListingGroup(TyperGroup):
    """`vireo videos` means `vireo videos list`, and `vireo videos --tag kitchen` means `vireo videos list --tag …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` in front where no command is named."""
        names_none = not args or (args[0].startswith("-") and args[0] != "--help")
        if names_none and not ctx.resilient_parsing:  # a shell asks which commands there are
            args = ["list", *args]
        return super().parse_args(ctx, args)


def spread_labels(arguments: list[str]) -> list[str]:
    """Repeat `--labels` before each label: all words up to the next option, or `--`, are labels.

    Whether there is a file of that name does not matter. Raises: typer.BadParameter for a label that looks like a file,
    which was meant as one.
    """
    spread: list[str] = []
    in_labels = False
    for argument in arguments:
        if spread and spread[-1] == "--labels":
            in_labels = True
        elif argument.startswith("-"):
            in_labels = False
        if in_labels:
            _check_is_label(argument)
            if spread[-1] != "--labels":
                spread.append("--labels")
        spread.append(argument)
    return spread


def _check_is_label(word: str) -> None:
    if "://" in word or Path(word).suffix.lower() in SUFFIXES:
        raise typer.BadParameter(
            f"{word!r} stands behind --labels, but looks like a video. Put videos before --labels, or behind --. "
            f"If it is a label, write --labels={word}",
            param_hint="--labels",
        )


def parse_labels(value: str) -> list[str]:
    """The labels in one `--labels` value. Raises: typer.BadParameter."""
    if value.startswith("@"):
        try:
            lines = Path(value[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise typer.BadParameter(f"{value[1:]}: {reason}", param_hint="--labels") from None
        return [line.strip() for line in lines if line.strip()]
    if value.lstrip().startswith("["):
        return _json_labels(value)
    return [part.strip() for part in value.split(",")] if "," in value else [value]


def label_names(values: list[str] | None) -> list[str] | None:
    """The labels of all `--labels` values; None if there are none. Raises: typer.BadParameter."""
    names = [name for value in values or [] for name in parse_labels(value)]
    return names or None


def _json_labels(value: str) -> list[str]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"this is not a JSON array: {error}", param_hint="--labels") from None
    if not all(isinstance(item, str) for item in parsed):
        raise typer.BadParameter("the JSON array must hold strings only", param_hint="--labels")
    return list(parsed)
