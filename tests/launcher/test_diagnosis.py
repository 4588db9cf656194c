"""What `vireo doctor` finds in a service whose answers are wrong. The end-to-end tests ask a healthy one."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any, cast

import av
import pytest
from rich.console import Console
from typer.testing import CliRunner

from launcher import diagnosis
from vireo import Client
from vireo.cli.app import build_cli
from vireo.errors import UndecodableVideo, VideoTooLarge
from vireo.schema.questions import Classification

HEALTHY: dict[str, Any] = {
    "/livez": (200, {"status": "alive"}),
    "/readyz": (200, {"ready": True, "reasons": []}),
    "/v1/info": (200, {"model": {"name": "lite", "reason": "no hub answers", "note": "Weak."}, "workers": []}),
    "first": {"video": "miss", "scores": [0.7, 0.2, 0.1]},
    "second": {"video": "hit", "scores": [0.75, 0.25]},
    "bad": UndecodableVideo("This is not a video."),
}


class Answer:
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status_code, self._body = status, body

    def json(self) -> dict[str, Any]:
        return self._body


class Service:
    """The answers of a service, in the place of a client's connection to it."""

    url = "http://127.0.0.1:8000"

    def __init__(self, **changes: Any) -> None:
        self.answers = copy.deepcopy(HEALTHY) | changes
        self.asked: list[list[str]] = []

    def get(self, path: str) -> Answer:
        return Answer(*self.answers[path])

    def classify(self, path: Path, labels: list[str]) -> Classification:
        self.asked.append(labels)
        if path.name == "not-a-video.mp4":
            assert b"video" in path.read_bytes()
            outcome = self.answers["bad"]
            if isinstance(outcome, Exception):
                raise outcome
            return Classification.read(outcome)
        with av.open(str(path)) as clip:
            assert clip.streams.video[0].frames == diagnosis.FPS * diagnosis.SECONDS
        found = self.answers["first" if len(self.asked) == 1 else "second"]
        times = dict.fromkeys(("queue", "decode", "encode", "text", "score", "total"), 12.4)
        return Classification.read(
            {
                "predictions": [{"score": score} for score in found["scores"]],
                "frames": [0.1, 0.2],
                "cache": {"video": found["video"]},
                "timings_ms": times,
            }
        )


def examine(**changes: Any) -> tuple[bool, str]:
    said = io.StringIO()
    healthy = diagnosis.examine(cast(Client, Service(**changes)), Console(file=said, width=300))
    return healthy, said.getvalue()


def test_a_healthy_service_passes_all_steps() -> None:
    healthy, said = examine()
    assert healthy
    assert said.count("✓") == 7
    assert "lite, because no hub answers. Weak." in said
    assert "2 frames were classified; queue 12 ms, decode 12 ms" in said
    assert "answered from cache in 12 ms" in said


@pytest.mark.parametrize(
    ("change", "passed", "words"),
    [
        ({"/livez": (404, {})}, 0, "/livez answered with status 404"),
        ({"/readyz": (503, {"reasons": ["a", "b"]})}, 1, "not ready: a; b."),
        ({"/readyz": (500, {})}, 1, "not ready: /readyz answered with status 500."),
        ({"first": {"video": "miss", "scores": [0.7, 0.2, 0.2]}}, 4, "add up to 1.1000 instead of 1"),
        ({"second": {"video": "miss", "scores": [0.7, 0.3]}}, 5, "the same clip was decoded again"),
        ({"second": {"video": "hit", "scores": [0.7, 0.2]}}, 5, "add up to 0.9000 instead of 1"),
        ({"bad": {}}, 6, "a text file was accepted as a video"),
        ({"bad": VideoTooLarge("Too many pixels.", hint="Scale it down.")}, 6, "Too many pixels. Scale it down."),
    ],
)
def test_the_first_step_that_fails_is_the_last(change: dict[str, Any], passed: int, words: str) -> None:
    healthy, said = examine(**change)
    assert not healthy
    assert (said.count("✓"), said.count("✗")) == (passed, 1)
    assert words in said


def test_children_that_are_not_confined_are_told_and_are_no_fault() -> None:
    info = HEALTHY["/v1/info"][1] | {
        "workers": [{"unconfined": ["No Landlock."]}, {"unconfined": ["No Landlock."]}, {}]
    }
    healthy, said = examine(**{"/v1/info": (200, info)})
    assert healthy
    assert said.count("No Landlock.") == 1


@pytest.mark.parametrize(("healthy", "status"), [(True, 0), (False, 1)])
def test_the_exit_status_is_the_finding(healthy: bool, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "examine", lambda *_: healthy)
    assert CliRunner().invoke(build_cli(), ["doctor"]).exit_code == status
