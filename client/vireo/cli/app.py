"""The `vireo` command. An error is printed as one sentence and a hint, never as a stack trace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

from vireo.cli.arguments import spread_labels
from vireo.cli.commands import jobs, version
from vireo.cli.commands.learning import calibrate, models, training
from vireo.cli.commands.questions import ask, batch, classify, explain, search, timeline
from vireo.cli.commands.stored import datasets, feedback, labels, videos
from vireo.cli.console import err
from vireo.cli.exit_codes import MEANINGS, Exit

SERVER_COMMANDS = "vireo.commands"
"""Entry-point group of the commands that the distribution `vireo-server` adds, such as `vireo up`."""

SERVER_GROUPS = "vireo.command_groups"
"""Entry-point group of its groups of commands, such as `vireo keys`."""


def build_cli() -> typer.Typer:
    """The command line: the client's commands, and those of the server if it is installed."""
    codes = "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items())
    cli = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Tells you what happens in a video, in your own words.",
        epilog=f"Exit status: {codes}.",
    )
    for command in sorted(entry_points(group=SERVER_COMMANDS), key=_name):
        _add_server_command(cli, command)
    for group in sorted(entry_points(group=SERVER_GROUPS), key=_name):
        _add_server_group(cli, group)
    cli.command("ask")(ask.ask)
    cli.command("classify")(classify.classify)
    cli.command("timeline")(timeline.timeline)
    cli.command("explain")(explain.explain)
    cli.command("search")(search.search)
    cli.add_typer(batch.batch_commands(), name="batch")
    cli.add_typer(videos.videos_commands(), name="videos")
    cli.add_typer(labels.labels_commands(), name="labels")
    cli.add_typer(feedback.feedback_commands(), name="feedback")
    cli.add_typer(datasets.dataset_commands(), name="dataset")
    cli.command("train")(training.train)
    cli.command("resume")(training.resume)
    cli.command("eval")(training.evaluate)
    cli.command("calibrate")(calibrate.calibrate)
    cli.add_typer(models.models_commands(), name="models")
    cli.command("alias")(models.alias)
    cli.command("compare")(models.compare)
    cli.command("shadow")(models.shadow)
    cli.command("import")(models.import_checkpoint)
    cli.command("export")(models.export)
    cli.add_typer(jobs.jobs_commands(), name="jobs")
    cli.command("cancel")(jobs.cancel)
    cli.command("version")(version.show_version)
    return cli


def _name(command: EntryPoint) -> str:
    """Installers write the entry points of a package in different orders."""
    return command.name


def _add_server_command(cli: typer.Typer, command: EntryPoint) -> None:
    """A server that is damaged, or lacks a dependency, must not take the client's commands with it."""
    try:
        cli.command(command.name)(command.load())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        cli.command(command.name, help=f"(cannot be loaded: {reason})")(_unavailable(command.name, reason))


def _add_server_group(cli: typer.Typer, group: EntryPoint) -> None:
    try:
        cli.add_typer(group.load()(), name=group.name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        cli.command(group.name, help=f"(cannot be loaded: {reason})")(_unavailable(group.name, reason))


def _unavailable(name: str, reason: str) -> Callable[[], None]:
    def fail() -> None:
        err.print(f"`vireo {name}` cannot be loaded: {reason}", style="red", highlight=False, markup=False)
        err.print("  Install the server again, for example with `make run`.", style="dim", markup=False)
        raise typer.Exit(Exit.FAILED)

    return fail


def main() -> None:
    """The entry point. It accepts `--labels a b c` as well as `--labels a --labels b --labels c`."""
    try:
        arguments = spread_labels(sys.argv[1:])
    except typer.BadParameter as error:
        err.print(f"Error: {error.format_message()}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(Exit.USAGE)
    build_cli()(arguments)
