"""The `vireo` command. Errors are one sentence and a hint, never a stack trace."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from client.commands import classify, jobs, models, service, training

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tells you what happens in a video, in your own words.",
)
cli.command()(service.up)
cli.command()(classify.classify)
cli.command()(training.train)
cli.command("eval")(training.evaluate)
cli.command()(training.resume)
cli.command("models")(models.list_models)
cli.command()(models.alias)
cli.command("import")(models.import_checkpoint)
cli.command()(models.export)
cli.command("jobs")(jobs.list_jobs)
cli.command()(jobs.cancel)
cli.command()(service.doctor)
cli.command("version")(service.show_version)


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
