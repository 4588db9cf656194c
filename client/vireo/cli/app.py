"""The `vireo` command. An error is printed as one sentence and a hint, never as a stack trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import typer

from vireo.cli.commands import (
    calibrate,
    classify,
    explain,
    feedback,
    jobs,
    labels,
    models,
    search,
    timeline,
    training,
    version,
    videos,
)
from vireo.cli.console import err

SERVER_COMMANDS = "vireo.commands"
"""Entry-point group of the commands that the distribution `vireo-server` adds, such as `vireo up`."""


def build_cli() -> typer.Typer:
    """The command line: the client's commands, and those of the server if it is installed."""
    cli = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Tells you what happens in a video, in your own words.",
    )
    for command in entry_points(group=SERVER_COMMANDS):
        _add_server_command(cli, command)
    cli.command("classify")(classify.classify)
    cli.command("explain")(explain.explain)
    cli.command("timeline")(timeline.timeline)
    cli.command("search")(search.search)
    cli.command("videos")(videos.list_videos)
    cli.add_typer(feedback.feedback_commands(), name="feedback")
    cli.add_typer(labels.labels_commands(), name="labels")
    cli.command("train")(training.train)
    cli.command("eval")(training.evaluate)
    cli.command("calibrate")(calibrate.calibrate)
    cli.command("resume")(training.resume)
    cli.command("models")(models.list_models)
    cli.command("alias")(models.alias)
    cli.command("compare")(models.compare)
    cli.command("shadow")(models.shadow)
    cli.command("import")(models.import_checkpoint)
    cli.command("export")(models.export)
    cli.command("jobs")(jobs.list_jobs)
    cli.command("cancel")(jobs.cancel)
    cli.command("version")(version.show_version)
    return cli


def _add_server_command(cli: typer.Typer, command: EntryPoint) -> None:
    """A server that is damaged, or lacks a dependency, must not take the client's commands with it."""
    try:
        cli.command(command.name)(command.load())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        cli.command(command.name, help=f"(cannot be loaded: {reason})")(_unavailable(command.name, reason))


def _unavailable(name: str, reason: str) -> Callable[[], None]:
    def fail() -> None:
        err.print(f"`vireo {name}` cannot be loaded: {reason}", style="red", highlight=False, markup=False)
        err.print("  Install the server again, for example with `make run`.", style="dim", markup=False)
        raise typer.Exit(1)

    return fail


def main() -> None:
    """The entry point. It accepts `--labels a b c` as well as `--labels a --labels b --labels c`."""
    build_cli()(spread_labels(sys.argv[1:]))


def spread_labels(arguments: list[str]) -> list[str]:
    """Repeat `--labels` before each label. The labels end at the next option, file or URL."""
    spread: list[str] = []
    in_labels = False
    for argument in arguments:
        if spread and spread[-1] == "--labels":
            in_labels = True
        elif in_labels and (argument.startswith("-") or "://" in argument or Path(argument).exists()):
            in_labels = False
        elif in_labels:
            spread.append("--labels")
        spread.append(argument)
    return spread
