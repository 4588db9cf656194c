"""The commands that the server adds to `vireo`: `vireo up`, `vireo doctor` and `vireo sample`.

Each command imports its module when it runs: `vireo --help` loads this file, and NumPy, PyAV and the settings would
double the time that it takes.
"""

from __future__ import annotations

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
    from launcher.supervisor import CannotStart, Supervisor

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
