"""`vireo videos …`: the videos that a server stores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from vireo.cli.arguments import ListingGroup
from vireo.cli.console import AsJson, Url, connected, out, print_json, say, transfer_bar
from vireo.cli.follow import follow
from vireo.cli.many_videos import check_there
from vireo.cli.options import ModelOption
from vireo.schema.videos import Video

VideoArgument = Annotated[str, typer.Argument(metavar="VIDEO", help="Id of a stored video, vid_….")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="A tag. The option may be repeated.")]
MetadataOption = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=TEXT", help="A text to keep. May be repeated.")
]


def list_videos(
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only videos with this tag. The option may be repeated.")
    ] = None,
    order: Annotated[
        Literal["created", "uncertainty"],
        typer.Option(help="uncertainty: those whose last answer is the least certain, first."),
    ] = "created",
    limit: Annotated[int, typer.Option(min=1, help="Most videos that are listed.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the stored videos, the newest first, or the least certain first."""
    with connected(url, as_json) as client:
        found = list(client.videos.list(tags=tags or (), limit=limit, order=order))
    if as_json:
        print_json([video.raw for video in found])
    elif found:
        out.print(_by_uncertainty(found) if order == "uncertainty" else _by_age(found))
    elif order == "created":
        out.print("No videos are stored.", style="dim")
    else:
        out.print("No stored video has an answer that is still to be checked.", style="dim")


def show(video: VideoArgument, as_json: AsJson = False, url: Url = None) -> None:
    """Show a stored video: what it is, its tags, and its last answer."""
    with connected(url, as_json) as client:
        found = client.videos.get(video)
    if as_json:
        print_json(found.raw)
        return
    table = Table(show_header=False, box=None)
    for name, value in _facts(found).items():
        table.add_row(name, Text(str(value)))
    out.print(table)


def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A video file, or an http(s) URL.")],
    tags: TagOption = None,
    metadata: MetadataOption = None,
    index: Annotated[bool, typer.Option("--index", help="Make it searchable.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Store a video until it is deleted."""
    described = _described(metadata)
    with connected(url, as_json) as client:
        source = check_there(file)
        with transfer_bar(file, then="storing", quiet=as_json) as progress:
            found = client.videos.add(**source, tags=tags, metadata=described, index=index, progress=progress)
    say(found.id, found.raw, as_json=as_json)


def update(
    video: VideoArgument,
    tags: TagOption = None,
    metadata: MetadataOption = None,
    clear: Annotated[bool, typer.Option("--no-tags", help="Remove all tags.")] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Set the tags or the metadata of a stored video. The new ones replace the old ones."""
    if tags and clear:
        raise typer.BadParameter("give tags or --no-tags, not both", param_hint="--tag")
    described = _described(metadata)
    with connected(url, as_json) as client:
        found = client.videos.update(video, tags=[] if clear else tags, metadata=described)
    say(f"{found.id}: {', '.join(found.tags) or 'no tags'}", found.raw, as_json=as_json)


def delete(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO…", help="Ids of stored videos.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete stored videos."""
    with connected(url, as_json) as client:
        for video in videos:
            client.videos.delete(video)
    say(f"Deleted: {', '.join(videos)}", {"deleted": videos}, as_json=as_json)


def save(
    video: VideoArgument,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write.")],
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write the bytes of a stored video into a file."""
    with connected(url, as_json) as client, transfer_bar(file, then="saved", verb="downloading", quiet=as_json) as bar:
        client.videos.save(video, file, progress=bar)
    say(f"Written: {file}", {"file": str(file)}, as_json=as_json)


def frames(
    video: VideoArgument,
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The JPEG to write.")],
    model: ModelOption = None,
    count: Annotated[int | None, typer.Option("--frames", help="Frames, spread over the whole video.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Write the frames that a model looks at, as one picture."""
    with connected(url, as_json) as client:
        found = client.frames(video, picture=file, model=model, frames=count)
    times = ", ".join(f"{time:.2f}" for time in found.frames)
    say(f"The frames at {times} s are in {file}.", found.raw, as_json=as_json)


def index(tags: TagOption = None, model: ModelOption = None, as_json: AsJson = False, url: Url = None) -> None:
    """Make stored videos searchable."""
    with connected(url, as_json) as client:
        found = follow(client.videos.index(model=model, tags=tags or ()), out, quiet=as_json)
    told = f"{found.indexed} made searchable, {found.known} known already, {len(found.failed)} failed."
    say(told, found.raw, as_json=as_json)


def _facts(video: Video) -> dict[str, Any]:
    facts, answer = video.facts, video.answer
    told: dict[str, Any] = {"video": video.id, "stored": _date(video.created_at)}
    told["until"] = "it is deleted" if video.kept else "–" if video.expires_at is None else _date(video.expires_at)
    told["bytes"] = video.bytes
    if facts:
        told |= {"seconds": f"{facts.duration:.1f}", "size": f"{facts.width} × {facts.height}", "codec": facts.codec}
    told |= {"tags": ", ".join(video.tags or ())} | dict(video.metadata or {})
    if answer:
        told["last answer"] = f"{answer.label} ({answer.score:.1%}, {answer.model})"
    return told


def _by_age(found: Sequence[Video]) -> Table:
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("stored", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("tags", min_width=8)
    for video in found:
        seconds = f"{video.facts.duration:.1f}" if video.facts else "–"
        table.add_row(video.id, _date(video.created_at), seconds, Text(", ".join(video.tags)))
    return table


def _by_uncertainty(found: Sequence[Video]) -> Table:
    """Each of these has an answer."""
    table = Table()
    table.add_column("video", overflow="fold")
    table.add_column("uncertainty", justify="right", no_wrap=True)
    table.add_column("last answer")
    table.add_column("tags", min_width=8)
    for video in found:
        if answer := video.answer:
            table.add_row(video.id, f"{answer.uncertainty:.3f}", Text(answer.label), Text(", ".join(video.tags)))
    return table


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _described(given: list[str] | None) -> dict[str, str] | None:
    """Raises: typer.BadParameter."""
    if given is None:
        return None
    pairs = [each.partition("=") for each in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise typer.BadParameter("write NAME=TEXT, for example camera=3", param_hint="--metadata")
    return {name: text for name, _, text in pairs}


def videos_commands() -> typer.Typer:
    """The commands below `vireo videos`."""
    group = typer.Typer(cls=ListingGroup, help="List, store, tag and delete videos. Without a command: list.")
    group.command("list")(list_videos)
    group.command("show")(show)
    group.command("add")(add)
    group.command("tag")(update)
    group.command("delete")(delete)
    group.command("save")(save)
    group.command("frames")(frames)
    group.command("index")(index)
    return group
