"""Many videos at once: the videos of folders, and their rows in a file of answers, with a progress bar."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vireo.archive import list_files
from vireo.cli.answer_file import AnswerFile
from vireo.cli.console import err
from vireo.errors import ConnectionFailed, InvalidRequest, VireoError
from vireo.schema.questions import Classification
from vireo.synchronous.client import Client

AT_ONCE: Final = 4
"""Videos that are sent at the same time: a server works on one while others arrive."""

_VIDEO_ID: Final = re.compile(r"vid_[0-9a-f]{64}")
_STATUS_OF_THE_SERVER: Final = (429, 503)  # errors that are not about the video

SUFFIXES: Final = (
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
)


def find_videos(sources: Sequence[str]) -> dict[str, str]:
    """Name → file, URL or id. A folder stands for the videos below it, each named by its path in it. Raises:
    InvalidRequest for a folder without videos."""
    found: dict[str, str] = {}
    for source in sources:
        if not Path(source).is_dir():
            found[source] = source
            continue
        files = list_files(Path(source))
        videos = [file for file in files if file.path.suffix.lower() in SUFFIXES]
        if not videos:
            raise InvalidRequest(
                f"{source} holds no videos.", hint=f"Their names end in {', '.join(sorted(SUFFIXES))}."
            )
        if others := len(files) - len(videos):
            _note(f"{source}: {others} other files are left out.")
        prefix = f"{source}/" if len(sources) > 1 else ""
        found |= {f"{prefix}{file.name}": str(file.path) for file in videos}
    return found


def video_argument(text: str) -> dict[str, Any]:
    """The argument of the client that a word means: the id of a stored video, a URL, or the path of a file. `./` in
    front of an id makes it a path."""
    if _VIDEO_ID.fullmatch(text):
        return {"video_id": text}
    if text.startswith(("http://", "https://")):
        return {"video_url": text}
    return {"video": Path(text)}


def check_there(text: str) -> dict[str, Any]:
    """The same. Raises: VireoError for a file that is not there."""
    found = video_argument(text)
    if "video" in found and not found["video"].is_file():
        raise VireoError(f"There is no file {text}.")
    return found


def write_rows(
    client: Client, sources: Mapping[str, str], rows: AnswerFile, labels: list[str] | None, options: dict[str, Any]
) -> int:
    """Classify the videos that have no row yet. Returns how many of them have an error in their row.

    Raises: VireoError that is about the server or the question, and not about one video.
    """
    missing = [name for name in sources if name not in rows.names]
    failures = 0
    with Progress(*_columns(), console=err) as bar:
        task = bar.add_task(str(rows.path), total=len(sources), completed=len(sources) - len(missing))
        try:
            for name, answer in _answers(client, {name: sources[name] for name in missing}, labels, options):
                if isinstance(answer, VireoError):
                    failures += 1
                    rows.add_error(name, answer)
                else:
                    rows.add(name, answer.raw)
                bar.advance(task)
        except (VireoError, KeyboardInterrupt):
            done = len(rows.names & set(sources))
            _note(f"{rows.path} has {done} of {len(sources)} videos. The same command goes on.")
            raise
    _note(f"{rows.path} has {len(sources)} videos, {failures} of this run with an error.")
    return failures


def _answers(
    client: Client, sources: Mapping[str, str], labels: list[str] | None, options: dict[str, Any]
) -> Iterator[tuple[str, Classification | VireoError]]:
    """As they come. Raises: VireoError that is about the server or the question."""

    def ask(file: str) -> Classification:
        return client.classify(labels=labels, **check_there(file), **options)

    rest = iter(sources.items())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running: dict[Future[Classification], str] = {}
        try:
            while True:
                free = AT_ONCE - len(running)
                running |= {pool.submit(ask, file): name for name, file in islice(rest, free)}
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    try:
                        yield name, future.result()
                    except VireoError as error:
                        if (
                            isinstance(error, ConnectionFailed)
                            or error.status in _STATUS_OF_THE_SERVER
                            or _is_about_the_question(error)
                        ):
                            raise
                        yield name, error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _is_about_the_question(error: VireoError) -> bool:
    return error.code in ("invalid_request", "invalid_labels", "unknown_model", "unknown_label_set")


def _columns() -> tuple[Any, ...]:
    text = TextColumn("{task.description}", markup=False)
    return text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()


def _note(text: str) -> None:
    err.print(text, style="dim", highlight=False, markup=False)
