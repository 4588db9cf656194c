"""`vireo explain`: why a label gets its score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vireo.cli.arguments import label_names
from vireo.cli.console import AsJson, Url, connected, err, out, print_json, print_warnings, transfer_bar
from vireo.cli.many_videos import check_there
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption
from vireo.schema.questions import Explanation

_READS = {
    "frame": "The contributions add up to the similarity.",
    "neighbours": "The contributions add up to the similarity. Each frame has seen its neighbours.",
    "clip": "The contributions add up to the similarity. Each place of the temporal transformer has seen all frames.",
}


def explain(
    video: Annotated[str, typer.Argument(metavar="FILE", help="A video file, http(s) URL or id of a stored video.")],
    labels: LabelsOption = None,
    label: Annotated[
        str | None, typer.Option(help="The label to explain. Default: the one with the highest score.")
    ] = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
    frames: Annotated[int | None, typer.Option(help="Frames, spread over the whole video.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Where to write the attention sheet. Default: NAME-attention.png here.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show what each frame adds to a score, and save a picture of where the image tower looks."""
    names = label_names(labels)
    options: dict[str, Any] = {"label_set": label_set, "model": model, "frames": frames}
    target = sheet or Path(f"{_stem(video)}-attention.png")
    with connected(url, as_json) as client:
        source = check_there(video)
        with transfer_bar(video, then="explaining", quiet=as_json) as progress:
            answer = client.explain(labels=names, label=label, sheet=target, progress=progress, **source, **options)
    if as_json:
        print_json(answer.raw)
        return
    _show(answer)
    if answer.sheet:
        out.print(f"The attention sheet is in {target}.", highlight=False, markup=False)
    else:
        err.print(answer.sheet_note, style="yellow", highlight=False, markup=False)


def _stem(video: str) -> str:
    """The name of the file, or the beginning of an id."""
    return Path(video).stem[:40] or "video"


def _show(answer: Explanation) -> None:
    title = f"{answer.label} · {answer.score:.1%} · {answer.model}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("seconds", "contribution"):
        table.add_column(heading, justify="right")
    table.add_column("")
    most = max((abs(frame.contribution) for frame in answer.frames), default=0.0) or 1.0
    for frame in answer.frames:
        bar = "█" * round(20 * max(0.0, frame.contribution) / most)
        table.add_row(f"{frame.time:.2f}", f"{frame.contribution:+.4f}", bar)
    table.add_section()
    table.add_row("similarity", f"{answer.similarity:+.4f}", "")
    out.print(table)
    out.print(_READS.get(answer.reads, ""), style="dim", highlight=False)
    print_warnings(answer.raw)
