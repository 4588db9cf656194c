"""`vireo ask`: one video, and question after question."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import typer

from vireo.cli.arguments import parse_labels
from vireo.cli.commands.questions.classify import print_answer
from vireo.cli.console import JsonLines, Url, connected, err, print_error, print_json, transfer_bar
from vireo.cli.exit_codes import Exit, exit_code
from vireo.cli.many_videos import check_there
from vireo.cli.options import LabelSetOption, LabelsOption, ModelOption
from vireo.errors import ConnectionFailed, UnknownVideo, VideoGone, VireoError
from vireo.schema.questions import Classification
from vireo.synchronous.client import Client

_HELP = "Type labels (a cat, a dog), @file, or a JSON array; /set NAME, /model NAME; Ctrl-D ends."

_PROMPT = "labels> "


def ask(
    video: Annotated[str, typer.Argument(metavar="FILE", help="A video file, http(s) URL or id of a stored video.")],
    labels: LabelsOption = None,
    label_set: LabelSetOption = None,
    model: ModelOption = None,
    top_k: Annotated[int | None, typer.Option(help="Show only the K best labels.")] = None,
    as_json: JsonLines = False,
    url: Url = None,
) -> None:
    """Ask about one video again and again. It is sent once.

    Each line that you type, or that is piped in, is a question: its labels. /set NAME asks for a stored label set,
    /model NAME changes the model.
    """
    with connected(url, as_json) as client:
        asked = _Video(client, video, {"model": model, "top_k": top_k}, as_json)
        first = [name for value in labels or [] for name in parse_labels(value)]
        if first or label_set:
            asked.question({"label_set": label_set} if label_set else {"labels": first})
        for line in _lines(as_json):
            asked.line(line)
    raise typer.Exit(asked.status)


class _Video:
    """The video that is asked about."""

    def __init__(self, client: Client, video: str, options: dict[str, Any], as_json: bool) -> None:
        """Raises: VireoError if there is no such file."""
        self._client, self._title, self._options, self._as_json = client, video, options, as_json
        self._source = self._stored = check_there(video)
        self.status = Exit.OK
        """why the last question had no answer"""

    def line(self, line: str) -> None:
        """What was typed. Raises: ConnectionFailed."""
        word, _, rest = line.partition(" ")
        if word == "/model":
            self._options["model"] = rest.strip() or None
        elif word == "/set":
            self.question({"label_set": rest.strip()})
        elif word.startswith("/"):
            err.print(_HELP, style="dim", highlight=False, markup=False)
        else:
            try:
                names = parse_labels(line)
            except typer.BadParameter as error:
                err.print(error.message, style="red", highlight=False, markup=False)
                self.status = Exit.USAGE
            else:
                self.question({"labels": names})

    def question(self, about: dict[str, Any]) -> None:
        """Prints the answer, or why there is none. Raises: ConnectionFailed."""
        try:
            answer = self._answer(about)
        except ConnectionFailed:
            raise
        except VireoError as error:
            print_error(error, as_json=self._as_json)
            self.status = exit_code(error)
            return
        self.status = Exit.OK
        self._stored = {"video_id": answer.video.id}
        if self._as_json:
            print_json(answer.raw)
        else:
            print_answer(self._title, answer)

    def _answer(self, about: dict[str, Any]) -> Classification:
        try:
            return self._classify(self._stored, about)
        except (UnknownVideo, VideoGone):
            if self._stored == self._source:
                raise
            self._stored = self._source  # it has expired meanwhile: send it again
            return self._classify(self._source, about)

    def _classify(self, source: dict[str, Any], about: dict[str, Any]) -> Classification:
        with transfer_bar(self._title, then="classifying", quiet=self._as_json) as progress:
            return self._client.classify(progress=progress, **source, **about, **self._options)


def _lines(as_json: bool) -> Iterator[str]:
    """What is typed or piped in, without empty lines. The prompt is never on a stdout that a program reads."""
    typed = sys.stdin.isatty()
    if typed:
        err.print(_HELP, style="dim", highlight=False, markup=False)
        with suppress(ImportError):
            import readline  # noqa: F401 -- `input` then edits lines and remembers them
    while True:
        try:
            if typed and sys.stdout.isatty() and not as_json:
                line = input(_PROMPT)
            else:
                if typed:
                    err.print(_PROMPT, end="")
                line = sys.stdin.readline()
                if not line:
                    return
        except EOFError:
            return
        if line.strip():
            yield line.strip()
