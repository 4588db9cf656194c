"""What the commands print: answers on stdout; progress and errors on stderr, an error as one sentence and a hint."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vireo.cli.exit_codes import Exit, exit_code
from vireo.errors import VireoError
from vireo.synchronous.client import Client
from vireo.transfers import TransferProgress

out = Console()
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="VIREO_URL", help="Address of the service. Default: VIREO_HOST and VIREO_PORT."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and nothing else on stdout.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print the answers as JSON, one per line.")]


@contextmanager
def connected(
    url: str | None, as_json: bool, *, timeout: float = 300.0, webhook: str | None = None
) -> Iterator[Client]:
    """A client. An error in the block is printed, and its kind decides the exit status; Ctrl-C ends with 130."""
    with _retries_shown(quiet=as_json), errors_printed(as_json):
        token = os.environ.get("VIREO_TOKEN") or None
        with Client(url or default_url(), token=token, timeout=timeout, webhook=webhook) as client:
            yield client


@contextmanager
def errors_printed(as_json: bool) -> Iterator[None]:
    """Turns errors and Ctrl-C into a line and an exit status."""
    try:
        yield
    except VireoError as error:
        print_error(error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None
    except OSError as error:
        print_error(VireoError(f"{error.filename or 'A file'}: {error.strerror}"), as_json=as_json)
        raise typer.Exit(Exit.FAILED) from None
    except KeyboardInterrupt:
        err.print("Interrupted.", style="yellow")
        raise typer.Exit(Exit.INTERRUPTED) from None


@contextmanager
def _retries_shown(*, quiet: bool) -> Iterator[None]:
    """Says that a request is sent again, and why."""
    log, handler = logging.getLogger("vireo.client"), _ErrHandler()
    if quiet:
        yield
        return
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _ErrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        err.print(record.getMessage(), style="dim", highlight=False, markup=False, soft_wrap=True)


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


def print_error(error: VireoError, subject: str | None = None, *, as_json: bool = False) -> None:
    """The message and the hint on stderr; as JSON the error envelope on stdout. `subject`: the file that the error is
    about."""
    if as_json:
        print_json(({"file": subject} if subject else {}) | {"error": error.to_dict()})
    message = f"{subject}: {error.message}" if subject else error.message
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        err.print(f"  {error.hint}", style="dim", highlight=False, markup=False, soft_wrap=True)


def print_warnings(answer: Mapping[str, Any]) -> None:
    """What did not prevent an answer."""
    for warning in answer.get("warnings") or ():
        err.print(warning, style="yellow", highlight=False, markup=False)


def print_json(value: Any) -> None:
    """One line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(text: str, value: Any, *, as_json: bool) -> None:
    """What has been done: a sentence, or a JSON object."""
    if as_json:
        print_json(value)
    else:
        out.print(text, highlight=False, markup=False, soft_wrap=True)


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
