"""How the commands speak: answers on stdout, everything else on stderr, errors as one sentence and a hint."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vireo.client import Client
from vireo.errors import VireoError

out = Console()
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="VIREO_URL", help="Address of the service. Default: VIREO_HOST and VIREO_PORT."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else on stdout.")]


@contextmanager
def connected(url: str | None, *, timeout: float = 300.0) -> Iterator[Client]:
    """A client; an error ends the command with its sentence and status 1."""
    try:
        with Client(url or default_url(), timeout=timeout) as client:
            yield client
    except VireoError as error:
        complain(error)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"{error.filename or 'A file'}: {error.strerror}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None


def default_url() -> str:
    """Where `vireo up` would listen here: the address in VIREO_HOST and VIREO_PORT."""
    host = os.environ.get("VIREO_HOST") or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- a server listens there; a client connects to one of its addresses
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{os.environ.get('VIREO_PORT') or 8000}"


def complain(error: VireoError, about: str | None = None) -> None:
    err.print(f"{about}: {error.message}" if about else error.message, style="red", highlight=False, markup=False)
    if error.hint:
        err.print(f"  {error.hint}", style="dim", highlight=False, markup=False)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextmanager
def moving(
    path: Path | str, *, then: str, verb: str = "uploading", quiet: bool = False
) -> Iterator[Callable[..., None]]:
    """A bar for bytes on their way. `then`: what happens once they have all been sent."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    name = Path(path).name or str(path)
    with Progress(*columns, console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"{verb} {name}", total=1.0)

        def moved(done: int, size: int) -> None:
            waiting = done >= size
            bar.update(
                task,
                completed=done,
                total=None if waiting else size,  # a bar that only moves: nobody knows how long thinking takes
                description=f"{then if waiting else verb} {name}",
            )

        yield moved
