"""`vireo up`, `vireo doctor`, `vireo version`."""

from __future__ import annotations

from importlib.metadata import version

import typer

from client import doctor as doctors
from client.console import Url, connected, err, out
from client.up import CannotStart, Supervisor
from core.settings import get_settings


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
        healthy = doctors.examine(client, out)
    raise typer.Exit(0 if healthy else 1)


def show_version() -> None:
    """Print the version."""
    out.print(version("vireo"), highlight=False)
