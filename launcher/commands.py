"""The commands that the server adds to `vireo`: `vireo up`, `vireo doctor`, `vireo sample` and `vireo plan`.

Each command imports its module when it runs: `vireo --help` loads this file, and NumPy, PyAV and the settings would
double the time that it takes.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vireo.cli.console import AsJson, Url, connected, err, out, print_error, print_json, program
from vireo.cli.exit_codes import Exit
from vireo.errors import VireoError


def up() -> None:
    """Run the whole service on this machine (Redis, workers and gateway) until Ctrl-C."""
    from core.settings import get_settings
    from launcher.stored_data import prepare_data
    from launcher.supervision.supervisor import CannotStart, Supervisor

    try:
        prepare_data(get_settings())
        raise typer.Exit(Supervisor(get_settings(), out).run())
    except CannotStart as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


def doctor(
    as_json: AsJson = False,
    url: Url = None,
    engine: Annotated[
        bool,
        typer.Option("--engine", help="Find the engine that costs least on this machine, without a running service."),
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="With --engine: a model or a version, instead of the default model.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="With --engine: a folder of your videos. Engines that round more are used if they answer as the model "
            "does about these.",
        ),
    ] = None,
) -> None:
    """Send a test clip through the running service, and report what works and what does not."""
    from launcher import diagnosis

    if engine:
        raise typer.Exit(Exit.OK if _engine_found(model, clips, as_json=as_json) else Exit.FAILED)
    with connected(url, as_json, timeout=120) as client:
        if as_json:
            steps = list(diagnosis.steps_of(client))
            healthy = steps[-1].passed
            print_json({"url": client.url, "healthy": healthy, "steps": [asdict(step) for step in steps]})
        else:
            healthy = diagnosis.examine(client, out)
    raise typer.Exit(Exit.OK if healthy else Exit.FAILED)


def _engine_found(model: str | None, clips: Path | None, *, as_json: bool) -> bool:
    from core.settings import get_settings
    from launcher.engine_search import search_engine

    sentences: list[str] = []

    def say(sentence: str) -> None:
        sentences.append(sentence)
        if not as_json:
            out.print(sentence, highlight=False, markup=False)

    found = search_engine(get_settings(), model, clips, say)
    if as_json:
        print_json({"healthy": found, "steps": sentences})
    return found


def sample(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write; its name ends with .mp4.")] = Path(
        "clip.mp4"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a short video to try Vireo with: a hot air balloon that rises over hills."""
    from launcher import sample_clip

    if file.suffix != ".mp4":
        raise typer.BadParameter("the file's name must end with .mp4", param_hint="FILE")
    if file.exists() and not force:
        exists = VireoError(f"{file} exists.", hint="Choose another name, or replace it with --force.")
        print_error(exists, as_json=as_json)
        raise typer.Exit(Exit.FAILED)
    try:
        sample_clip.write_sample(file)
    except OSError as error:
        print_error(VireoError(f"{file} cannot be written: {error.strerror or error}"), as_json=as_json)
        raise typer.Exit(Exit.FAILED) from None
    if as_json:
        print_json({"file": str(file), "seconds": sample_clip.SECONDS, "labels": list(sample_clip.LABELS)})
        return
    size = f"{sample_clip.WIDTH}×{sample_clip.HEIGHT}"
    out.print(f"Wrote {file}: {sample_clip.SECONDS} seconds, {size} pixels, a hot air balloon.", highlight=False)
    labels = " ".join(f'"{label}"' for label in sample_clip.LABELS)
    command = f"{program()} classify {shlex.quote(str(file))} --labels {labels}"
    out.print(f"Classify it:  {command}", highlight=False, markup=False, soft_wrap=True)


def plan(
    videos_per_day: Annotated[float, typer.Option(min=1, help="Videos that are asked about in a day, each once.")],
    model: Annotated[str, typer.Option(help="A model whose costs were measured.")] = "clip-b16",
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of a video.")] = 10.0,
    size: Annotated[str, typer.Option(help="Width and height of a video, in pixels.")] = "340x256",
    frames: Annotated[int, typer.Option(min=1, help="Frames per view.")] = 8,
    views: Annotated[int, typer.Option(min=1, help="Views per video: clips times crops.")] = 1,
    labels: Annotated[int, typer.Option(min=1, help="Labels of a question, which were asked before.")] = 10,
    peak_factor: Annotated[float, typer.Option(min=1, help="Videos in the busiest hour, against the mean.")] = 3.0,
    host_cores: Annotated[int | None, typer.Option(min=1, help="Cores of a host. Default: those of this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many cores, GPUs and how much memory a number of videos per day needs, from measured costs."""
    from launcher import planning

    width, times, height = size.lower().replace("×", "x").partition("x")
    if not (times and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter("a size looks like 1920x1080", param_hint="--size")
    known = planning.measured()["models"]
    if model not in known:
        raise typer.BadParameter(f"measured were {', '.join(known)}", param_hint="--model")
    megapixels = int(width) * int(height) / 1e6
    load = planning.Load(videos_per_day, seconds, megapixels, frames, views, labels, peak_factor)
    found = planning.reckon(model, load, host_cores or os.cpu_count() or 1)
    if as_json:
        print_json(found.as_json() | {"measured_on": planning.measured()["machine"]})
        return
    for line in planning.in_words(found, load):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
