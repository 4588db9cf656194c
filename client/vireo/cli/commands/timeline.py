"""`vireo timeline`: when each label is seen in a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vireo.cli.commands.classify import parse_labels
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, transfer_bar
from vireo.cli.options import StrideOption, WindowOption
from vireo.cli.tables import print_curves, print_segments
from vireo.errors import VireoError


def timeline(
    video: Annotated[str, typer.Argument(metavar="FILE", help="A video file, http(s) URL or id of a stored video.")],
    labels: Annotated[
        list[str] | None,
        typer.Option(help='Labels to look for: several values, "a,b,c", a JSON array, or @file with one per line.'),
    ] = None,
    label_set: Annotated[str | None, typer.Option(help="A stored label set: name or name:version.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model: name, name:3 or name@alias. Default: the server's.")
    ] = None,
    stride: StrideOption = None,
    window: WindowOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show when each label is seen. A stored video that is asked again is not decoded again."""
    names = [name for value in labels or [] for name in parse_labels(value)]
    options = {"label_set": label_set, "model": model, "stride": stride, "window": window}
    with connected(url) as client:
        if "://" not in video and not video.startswith("vid_") and not Path(video).is_file():
            raise VireoError(f"There is no file {video}.")
        with transfer_bar(video, then="looking", quiet=as_json) as progress:
            answer = client.timeline(video, names, progress=progress, **options)
    if as_json:
        print_json(answer)
        return
    print_segments(answer["timeline"], out)
    print_curves(answer["timeline"], out)
    out.print(
        f"Ask again without decoding: the video is stored as {answer['video']['id']}.", style="dim", highlight=False
    )
    for warning in answer["warnings"]:
        err.print(f"[yellow]{warning}[/]")
