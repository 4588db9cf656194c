"""What the commands print: answers on stdout; progress and errors on stderr, an error as one sentence and a hint."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vireo.client import Client
from vireo.errors import VireoError
from vireo.transfers import TransferProgress

out = Console()
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="VIREO_URL", help="Address of the service. Default: VIREO_HOST and VIREO_PORT."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else on stdout.")]


@contextmanager
def connected(url: str | None, *, timeout: float = 300.0, webhook: str | None = None) -> Iterator[Client]:
    """A client; an error in the block is printed and ends the command with status 1."""
    try:
        with Client(url or default_url(), timeout=timeout, webhook=webhook) as client:
            yield client
    except VireoError as error:
        print_error(error)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"{error.filename or 'A file'}: {error.strerror}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None


def default_url() -> str:
    """The address on which `vireo up` listens here: VIREO_HOST and VIREO_PORT."""
    host = os.environ.get("VIREO_HOST") or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- means "all addresses" to a server; a client needs one
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{os.environ.get('VIREO_PORT') or 8000}"


def program() -> str:
    """How the user calls this command: `vireo` if it is on PATH, else as it was typed, such as `.venv/bin/vireo`."""
    typed = Path(sys.argv[0])
    on_path = shutil.which("vireo")
    if typed.name != "vireo" or (on_path and Path(on_path).resolve() == typed.resolve()):
        return "vireo"
    return shlex.quote(str(typed))


def print_error(error: VireoError, subject: str | None = None) -> None:
    """The message and the hint. `subject`: the file that the error is about."""
    message = f"{subject}: {error.message}" if subject else error.message
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        err.print(f"  {error.hint}", style="dim", highlight=False, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


@contextmanager
def transfer_bar(
    path: Path | str, *, then: str, verb: str = "uploading", quiet: bool = False
) -> Iterator[TransferProgress]:
    """A progress bar for an upload or download; yields the function that moves it.

    `then`: the verb for what happens after the last byte.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    name = Path(path).name or str(path)
    with Progress(*columns, console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"{verb} {name}", total=1.0)

        def update(done: int, size: int) -> None:
            complete = done >= size
            bar.update(
                task,
                completed=done,
                total=None if complete else size,  # no total, no percentage: what follows takes an unknown time
                description=f"{then if complete else verb} {name}",
            )

        yield update
