"""`vireo search`: finds stored videos by what they show."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.console import AsJson, Url, connected, out, print_json, print_warnings
from vireo.cli.options import ModelOption


def search(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to look for, in words.")] = None,
    video: Annotated[
        str | None, typer.Option("--like", help="Id of a stored video: look for videos that resemble it.")
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag. The option may be repeated.")
    ] = None,
    top_k: Annotated[int, typer.Option(help="Most videos that are shown.")] = 10,
    model: ModelOption = None,
    index: Annotated[bool, typer.Option("--index", help="Make all videos searchable first; it may take long.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Find stored videos by what they show, and where in them."""
    if (text is None) == (video is None):
        raise typer.BadParameter("give a text, or a video with --like")
    with connected(url, as_json) as client:
        if index:
            client.videos.index(tags=tags or (), model=model).result()
        answer = client.search(text, video_id=video, filter={"tags": tags or ()}, top_k=top_k, model=model)
    if as_json:
        print_json(answer.raw)
        return
    table = Table(title=f"{answer.searched} of {answer.stored} stored videos", title_justify="left")
    table.add_column("video", overflow="fold")
    for heading in ("seconds", "similarity"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("tags", min_width=8)
    for hit in answer.data:
        seconds = f"{hit.start:.1f} – {hit.end:.1f}"
        table.add_row(hit.video, seconds, f"{hit.similarity:.3f}", Text(", ".join(hit.tags)))
    out.print(table)
    print_warnings(answer.raw)
