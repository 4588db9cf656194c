"""`vireo ask`: one upload, question after question."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from core import errors
from core.records import Job
from tests.client.conftest import cli
from tests.service.doubles import answering, classification
from tests.service.sites import VIDEO, Site
from vireo.sources import Upload

Ask = Callable[..., Result]


@pytest.fixture
def ask(site: Site, tmp_path: Path) -> Ask:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(VIDEO)

    def typed(lines: str, *options: str, video: str = str(clip)) -> Result:
        return CliRunner().invoke(cli(), ["ask", video, "--url", site.url, *options], input=lines)

    return typed


def test_each_line_is_a_question_about_the_same_video(ask: Ask, redis_url: str) -> None:
    asked: list[dict[str, Any]] = []

    def answer(job: Job) -> dict[str, Any]:
        asked.append(job.request)
        return classification(job)

    with answering(redis_url, answer):
        done = ask('a cat, a dog\n\n["one, two", "three"]\n/model clip-b16\na bird\n/help\n', "--json")
    assert done.exit_code == 0, done.output
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[each["label"] for each in answer["predictions"]] for answer in answers] == [
        ["a cat", "a dog"],
        ["one, two", "three"],
        ["a bird"],
    ]
    assert [request["question"]["model"] for request in asked] == [None, None, "clip-b16"]
    assert len({request["sha256"] for request in asked}) == 1
    assert "/set NAME" in done.stderr


def test_it_is_sent_once_and_again_when_it_has_expired(
    ask: Ask, site: Site, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    opened = Upload.open

    def counted(upload: Upload, progress: Any) -> Any:
        sent.append(upload.name)
        return opened(upload, progress)

    def forgetful(job: Job) -> dict[str, Any]:
        answer = classification(job)
        if answer["predictions"][0]["label"] == "forget":
            with site.client() as http:
                assert http.delete(f"/v1/videos/{answer['video']['id']}").status_code == 204
        return answer

    monkeypatch.setattr(Upload, "open", counted)
    with answering(redis_url, forgetful):
        done = ask("a cat\na dog\nforget\na bird\na fish\n")
    assert done.exit_code == 0, done.output
    assert "a bird" in done.stdout
    assert sent == ["clip.mp4", "clip.mp4"]


def test_the_first_question_may_be_on_the_command_line(ask: Ask, redis_url: str) -> None:
    with answering(redis_url):
        done = ask("", "--labels", "a cat,a dog")
    assert "a cat" in done.stdout
    assert done.exit_code == 0


def test_a_question_that_fails_does_not_end_the_others(ask: Ask, redis_url: str) -> None:
    with answering(redis_url):
        done = ask("/set nothing\n[1]\na cat\n")
        assert "There is no label set" in done.stderr
        assert "strings only" in done.stderr
        assert "a cat" in done.stdout
        assert done.exit_code == 0
        assert ask("a cat\n/set nothing\n").exit_code == 3
    with answering(redis_url, lambda _: errors.UndecodableVideo("This is no video.")):
        assert ask("a cat\n").exit_code == 3
    assert ask("", video="nothing.mp4").exit_code == 1
