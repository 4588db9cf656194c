"""The commands that the server adds to `vireo`: `vireo up`, `vireo doctor`."""

from __future__ import annotations

import typer

from core.settings import get_settings
from launcher import diagnosis
from launcher.supervisor import CannotStart, Supervisor
from vireo.cli.console import Url, connected, err, out


def up() -> None:
    """Run the whole service here: Redis, workers and gateway, until Ctrl-C."""
    try:
        raise typer.Exit(Supervisor(get_settings(), out).run())
    except CannotStart as error:
        err.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from None


def doctor(url: Url = None) -> None:
    """Send a rendered clip through the real queue, and say in words what works and what does not."""
    with connected(url, timeout=120) as client:
        healthy = diagnosis.examine(client, out)
    raise typer.Exit(0 if healthy else 1)
