"""`vireo timeline`: when each label is seen in a video."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vireo.cli.arguments import label_names
from vireo.cli.console import AsJson, Url, connected, out, print_json, print_warnings, transfer_bar
from vireo.cli.many_videos import check_there
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption, StrideOption, WindowOption
from vireo.cli.tables import print_curves, print_segments


def timeline(
    video: Annotated[str, typer.Argument(metavar="FILE", help="A video file, http(s) URL or id of a stored video.")],
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
    stride: StrideOption = None,
    window: WindowOption = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show when each label is seen. A stored video that is asked again is not decoded again."""
    names = label_names(labels)
    options: dict[str, Any] = {"label_set": label_set, "model": model, "stride": stride, "window": window}
    with connected(url, as_json) as client:
        source = check_there(video)
        with transfer_bar(video, then="looking", quiet=as_json) as progress:
            answer = client.timeline(labels=names, progress=progress, **source, **options)
    if as_json:
        print_json(answer.raw)
        return
    if answer.timeline:
        print_segments(answer.timeline.raw, out)
        print_curves(answer.timeline.raw, out)
    out.print(f"Ask again without decoding: the video is stored as {answer.video.id}.", style="dim", highlight=False)
    print_warnings(answer.raw)
