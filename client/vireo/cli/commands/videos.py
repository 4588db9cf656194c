"""`vireo videos`: the videos that a server stores."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.console import AsJson, Url, connected, out, print_json


def list_videos(
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag. The option may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most videos that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the stored videos, the newest first."""
    with connected(url) as client:
        found = client.videos(*tags or (), limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        out.print("No videos are stored.", style="dim")
        return
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("stored", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("tags", min_width=8)
    for video in found:
        facts = video["facts"]
        table.add_row(
            video["id"],
            datetime.fromtimestamp(video["created_at"]).astimezone().strftime("%Y-%m-%d %H:%M"),
            f"{facts['duration']:.1f}" if facts else "–",
            Text(", ".join(video["tags"])),
        )
    out.print(table)
