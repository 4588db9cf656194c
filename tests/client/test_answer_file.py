"""`vireo classify FOLDER --csv`: rows as they come, and the way on after an interruption."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from core.errors import UndecodableVideo, VireoError, WorkerUnavailable
from core.records import Job
from tests.client.conftest import Run
from tests.service.doubles import AnsweringWorker, answering, classification
from tests.service.sites import Site


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    (folder / "deep\u2028er").mkdir(parents=True)
    for number in range(5):
        (folder / "deep\u2028er" / f"{number}, x.MP4").write_bytes(f"video {number}".encode())
    (folder / "notes.txt").write_text("no video")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ask(run: Run, videos: Path, target: Path, *more: str) -> Result:
    return run("classify", str(videos), "--labels", "a cat,a dog", "--csv", str(target), *more)


NAMES = [f"deep\u2028er/{number}, x.MP4" for number in range(5)]


def test_a_row_for_each_video_of_a_folder(run: Run, worker: AnsweringWorker, videos: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = ask(run, videos, target)
    assert done.exit_code == 0, done.output
    assert "1 other files are left out" in done.stderr
    rows = rows_of(target)
    assert sorted(row["file"] for row in rows) == NAMES
    assert {(row["label"], row["score"], row["model"], row["error"]) for row in rows} == {("a cat", "0.5", "lite", "")}
    assert len(worker.seen) == 5
    again = ask(run, videos, target)
    assert again.exit_code == 0
    assert len(worker.seen) == 5
    assert len(rows_of(target)) == 5


@pytest.mark.parametrize("torn", [0, 1, 30])
def test_an_interrupted_file_goes_on(
    run: Run,
    worker: AnsweringWorker,
    videos: Path,
    tmp_path: Path,
    torn: int,
) -> None:
    target = tmp_path / "out.csv"
    ask(run, videos, target)
    lines = target.read_bytes().split(b"\r\n")
    target.write_bytes(b"\r\n".join(lines[:3]) + b"\r\n" + lines[3][:torn])  # the header and two rows
    assert ask(run, videos, target).exit_code == 0
    assert sorted(row["file"] for row in rows_of(target)) == NAMES
    assert len(worker.seen) == 8


def test_a_video_that_fails_has_its_error_in_its_row(
    run: Run,
    redis_url: str,
    site: Site,
    videos: Path,
    tmp_path: Path,
) -> None:
    failed: list[str] = []

    def answer(job: Job) -> dict[str, Any] | VireoError:
        if failed:
            return classification(job)
        failed.append(job.id)
        return UndecodableVideo("It is damaged.")

    with answering(redis_url, answer):
        done = ask(run, videos, tmp_path / "out.csv")
        assert done.exit_code == 1
    rows = rows_of(tmp_path / "out.csv")
    assert len(rows) == 5
    assert [(row["error_code"], row["error"]) for row in rows if row["error"]] == [
        ("undecodable_video", "It is damaged.")
    ]


def test_an_error_of_the_server_ends_the_command_and_writes_no_row(
    run: Run,
    redis_url: str,
    videos: Path,
    tmp_path: Path,
) -> None:
    with answering(redis_url, lambda _: WorkerUnavailable("The worker starts again.")):
        done = ask(run, videos, tmp_path / "out.csv")
    assert done.exit_code == 6
    assert "The worker starts again." in done.stderr
    assert "The same command goes on." in done.stderr
    assert rows_of(tmp_path / "out.csv") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--labels", "a bird"), "another question"),
        (("--threshold", "0.5"), "another question"),
        (("--model", "clip-b16"), "another question"),
    ],
)
def test_a_file_of_another_question_is_refused(
    run: Run,
    worker: AnsweringWorker,
    videos: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    words: str,
) -> None:
    target = tmp_path / "out.csv"
    ask(run, videos, target)
    before = target.read_bytes()
    refused = ask(run, videos, target, *options)
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert target.read_bytes() == before


def test_another_default_model_is_noticed(
    run: Run,
    worker: AnsweringWorker,
    videos: Path,
    tmp_path: Path,
) -> None:
    target = tmp_path / "out.csv"
    ask(run, videos, target)
    (videos / "new.mp4").write_bytes(b"new")
    worker.answer = lambda job: classification(job) | {"model": "clip-b16"}
    refused = ask(run, videos, target)
    assert refused.exit_code == 1
    assert "has answers of lite; the server answers with clip-b16 now" in refused.stderr
    assert len(rows_of(target)) == 5


@pytest.mark.parametrize("content", ["name,label\nx,y\n", "file,label\n", "some notes"])
def test_a_file_of_somebody_else_is_left_alone(
    run: Run,
    site: Site,
    videos: Path,
    tmp_path: Path,
    content: str,
) -> None:
    target = tmp_path / "notes.csv"
    target.write_text(content)
    refused = ask(run, videos, target)
    assert refused.exit_code == 1
    assert "is no file of answers" in refused.stderr
    assert target.read_text() == content


def test_a_folder_without_videos_is_refused(run: Run, site: Site, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    refused = run("classify", str(tmp_path), "--labels", "a,b")
    assert refused.exit_code == 1
    assert "holds no videos" in refused.stderr
