"""`vireo videos`: the videos that a server stores."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.console import AsJson, Url, connected, out, print_json


def list_videos(
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag. The option may be repeated.")
    ] = None,
    order: Annotated[
        Literal["created", "uncertainty"],
        typer.Option(help="uncertainty: those whose last answer is the least certain, first."),
    ] = "created",
    limit: Annotated[int, typer.Option(help="Most videos that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the stored videos, the newest first, or the least certain first."""
    with connected(url) as client:
        found = client.videos(*tags or (), limit=limit, order=order)
    if as_json:
        print_json(found)
        return
    if not found:
        none = (
            "No videos are stored."
            if order == "created"
            else "No stored video has an answer that is still to be checked."
        )
        out.print(none, style="dim")
        return
    out.print(_by_uncertainty(found) if order == "uncertainty" else _by_age(found))


def _by_age(found: list[dict[str, Any]]) -> Table:
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("stored", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("tags", min_width=8)
    for video in found:
        table.add_row(
            video["id"],
            datetime.fromtimestamp(video["created_at"]).astimezone().strftime("%Y-%m-%d %H:%M"),
            f"{video['facts']['duration']:.1f}" if video["facts"] else "–",
            Text(", ".join(video["tags"])),
        )
    return table


def _by_uncertainty(found: list[dict[str, Any]]) -> Table:
    """Each of these has an answer."""
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("uncertainty", justify="right", no_wrap=True)
    table.add_column("last answer")
    table.add_column("tags", min_width=8)
    for video in found:
        answer = video["answer"]
        table.add_row(
            video["id"], f"{answer['uncertainty']:.3f}", Text(answer["label"]), Text(", ".join(video["tags"]))
        )
    return table
