"""The commands that the server adds to `vireo`: `vireo up`, `vireo doctor` and `vireo sample`.

Each command imports its module when it runs: `vireo --help` loads this file, and NumPy, PyAV and the settings would
double the time that it takes.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vireo.cli.console import Url, connected, err, out, program


def up() -> None:
    """Run the whole service on this machine (Redis, workers and gateway) until Ctrl-C."""
    from core.settings import get_settings
    from launcher.supervisor import CannotStart, Supervisor

    try:
        raise typer.Exit(Supervisor(get_settings(), out).run())
    except CannotStart as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


def doctor(url: Url = None) -> None:
    """Send a test clip through the running service, and report what works and what does not."""
    from launcher import diagnosis

    with connected(url, timeout=120) as client:
        healthy = diagnosis.examine(client, out)
    raise typer.Exit(0 if healthy else 1)


def sample(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write; its name ends with .mp4.")] = Path(
        "clip.mp4"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a short video to try Vireo with: a hot air balloon that rises over hills."""
    from launcher import sample_clip

    if file.suffix != ".mp4":
        raise typer.BadParameter("the file's name must end with .mp4", param_hint="FILE")
    if file.exists() and not force:
        err.print(f"{file} exists. Choose another name, or replace it with --force.", style="red", markup=False)
        raise typer.Exit(1)
    try:
        sample_clip.write_sample(file)
    except OSError as error:
        err.print(f"{file} cannot be written: {error.strerror or error}", style="red", markup=False)
        raise typer.Exit(1) from None
    size = f"{sample_clip.WIDTH}×{sample_clip.HEIGHT}"
    out.print(f"Wrote {file}: {sample_clip.SECONDS} seconds, {size} pixels, a hot air balloon.", highlight=False)
    labels = " ".join(f'"{label}"' for label in sample_clip.LABELS)
    command = f"{program()} classify {shlex.quote(str(file))} --labels {labels}"
    out.print(f"Classify it:  {command}", highlight=False, markup=False, soft_wrap=True)
