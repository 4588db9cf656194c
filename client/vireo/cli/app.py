"""The `vireo` command. Errors are one sentence and a hint, never a stack trace."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path

import typer

from vireo.cli.commands import classify, jobs, models, training, version

SERVER_COMMANDS = "vireo.commands"
"""Entry-point group of the commands that `vireo-server` adds, such as `vireo up`."""


def build() -> typer.Typer:
    """The command with everything that is installed here."""
    cli = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Tells you what happens in a video, in your own words.",
    )
    for command in entry_points(group=SERVER_COMMANDS):
        cli.command(command.name)(command.load())
    cli.command("classify")(classify.classify)
    cli.command("train")(training.train)
    cli.command("eval")(training.evaluate)
    cli.command("resume")(training.resume)
    cli.command("models")(models.list_models)
    cli.command("alias")(models.alias)
    cli.command("import")(models.import_checkpoint)
    cli.command("export")(models.export)
    cli.command("jobs")(jobs.list_jobs)
    cli.command("cancel")(jobs.cancel)
    cli.command("version")(version.show_version)
    return cli


def main() -> None:
    """The entry point: `--labels a b c` is understood as well as `--labels a --labels b`."""
    build()(spread_labels(sys.argv[1:]))


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
