"""The `vireo` command: `up`, `classify`, `doctor`. Errors are one sentence and a hint, never a stack trace."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from client import doctor as doctors
from client.api import Client
from client.up import CannotStart, Supervisor
from core.errors import VireoError
from core.settings import get_settings

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tells you what happens in a video, in your own words.",
)
out = Console()
err = Console(stderr=True)

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="VIREO_URL", help="Address of the service. Default: VIREO_HOST and VIREO_PORT."),
]


def app() -> None:
    """The entry point: `--labels a b c` is understood as well as `--labels a --labels b`."""
    cli(spread_labels(sys.argv[1:]))


def spread_labels(arguments: list[str]) -> list[str]:
    """Words behind `--labels VALUE` are labels too, up to the next option or the first that is a file or a URL."""
    spread: list[str] = []
    greedy = False
    for argument in arguments:
        if spread and spread[-1] == "--labels":
            greedy = True
        elif greedy and (argument.startswith("-") or "://" in argument or Path(argument).exists()):
            greedy = False
        elif greedy:
            spread.append("--labels")
        spread.append(argument)
    return spread


@cli.command()
def up() -> None:
    """Run the whole service here: Redis, inference worker and gateway, until Ctrl-C."""
    try:
        raise typer.Exit(Supervisor(get_settings(), out).run())
    except CannotStart as error:
        err.print(f"[red]{error}[/]")
        raise typer.Exit(1) from None


@cli.command()
def classify(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Video files, http(s) URLs or ids of stored videos.")
    ],
    labels: Annotated[
        list[str] | None,
        typer.Option(
            help='What to look for: several words behind it, "a,b,c", a JSON array, or @file with one per line.'
        ),
    ] = None,
    label_set: Annotated[str | None, typer.Option(help="A stored label set, `name` or `name:version`.")] = None,
    model: Annotated[str | None, typer.Option(help="Which model; default: the server's.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Show only the k best labels.")] = None,
    views: Annotated[str | None, typer.Option(help="clips × crops, 1x1 to 4x3.")] = None,
    frames: Annotated[int | None, typer.Option(help="Frames per view.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON, one per line.")] = False,
    url: Url = None,
) -> None:
    """Score videos against your own labels."""
    wanted = [name for value in labels or [] for name in parse_labels(value)]
    options = {"label_set": label_set, "model": model, "top_k": top_k, "views": views, "frames": frames}
    failures = 0
    with Client(url or _address()) as client:
        for file in files:
            try:
                answer = _classify_one(client, file, wanted, options, quiet=as_json)
            except VireoError as error:
                failures += 1
                _show_error(file, error, as_json)
            else:
                _show_answer(file, answer, as_json)
    raise typer.Exit(1 if failures else 0)


@cli.command()
def doctor(url: Url = None) -> None:
    """Send a rendered clip through the real queue, and say in words what works and what does not."""
    with Client(url or _address(), timeout=120) as client:
        healthy = doctors.examine(client, out)
    raise typer.Exit(0 if healthy else 1)


@cli.command("version")
def show_version() -> None:
    """Print the version."""
    out.print(version("vireo"), highlight=False)


def parse_labels(value: str) -> list[str]:
    """One `--labels` value. Raises: typer.BadParameter."""
    if value.startswith("@"):
        try:
            lines = Path(value[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise typer.BadParameter(f"{value[1:]}: {error.strerror}", param_hint="--labels") from None
        return [line.strip() for line in lines if line.strip()]
    if value.lstrip().startswith("["):
        return _json_labels(value)
    return [part.strip() for part in value.split(",")] if "," in value else [value]


def _json_labels(value: str) -> list[str]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise typer.BadParameter(f"not a JSON array: {error}", param_hint="--labels") from None
    if not all(isinstance(item, str) for item in parsed):
        raise typer.BadParameter("a JSON array of strings is needed", param_hint="--labels")
    return list(parsed)


def _address() -> str:
    settings = get_settings()
    return f"http://{settings.host}:{settings.port}"


def _classify_one(
    client: Client, file: str, labels: list[str], options: dict[str, Any], *, quiet: bool
) -> dict[str, Any]:
    if "://" not in file and not file.startswith("vid_") and not Path(file).is_file():
        raise VireoError(f"There is no file {file}.")
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet) as bar:
        task = bar.add_task(f"uploading {Path(file).name}", total=1.0)

        def sent(done: int, size: int) -> None:
            waiting = done >= size
            bar.update(
                task,
                completed=done,
                total=None if waiting else size,  # a bar that only moves: nobody knows how long thinking takes
                description=f"{'looking at' if waiting else 'uploading'} {Path(file).name}",
            )

        return client.classify(file, labels, progress=sent, **options)


def _show_answer(file: str, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"file": file} | answer, ensure_ascii=False) + "\n")
        return
    table = Table(title=f"{file} · {answer['model']}", title_justify="left", title_style="bold")
    table.add_column("label")
    table.add_column("score", justify="right")
    table.add_column("similarity", justify="right", style="dim")
    for row in answer["predictions"]:
        table.add_row(row["label"], f"{row['score']:.1%}", f"{row['similarity']:.3f}")
    out.print(table)
    for warning in answer["warnings"]:
        err.print(f"[yellow]{warning}[/]")
    if answer["abstained"]:
        err.print("[yellow]No label reaches the threshold.[/]")


def _show_error(file: str, error: VireoError, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"file": file, "error": error.to_dict()}, ensure_ascii=False) + "\n")
        return
    err.print(f"[red]{file}: {error.message}[/]", highlight=False)
    if error.hint:
        err.print(f"  {error.hint}", style="dim", highlight=False, markup=False)
