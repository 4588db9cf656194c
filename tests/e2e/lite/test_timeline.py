"""When things happen, over HTTP and by command: a drawn film whose cuts are known."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.labels import EVERYDAY
from tests.e2e.stack import BIN, Stack
from tests.scenes import film
from vireo import Client

SHOTS = [("a hot air balloon", 3.5), ("a clock", 2.75), ("a traffic light", 4.0)]
LABELS = [label for label, _ in SHOTS]
CUTS = [3.5, 6.25]
END = 10.25


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "film.mp4", SHOTS)


@pytest.fixture(scope="module")
def asked(stack: Stack, clip: Path) -> Iterator[dict[str, Any]]:
    """The film was sent once, in a form, with its timeline."""
    with stack.http() as http:
        fields = {"labels": json.dumps([*LABELS, *EVERYDAY[:5]]), "timeline": '{"stride": 0.5}'}
        answer = http.post("/v1/classify", data=fields, files={"video": clip.read_bytes()})
        assert answer.status_code == 200, answer.text
        yield answer.json()


def test_the_cuts_of_three_scenes_are_found_within_one_stride(asked: dict[str, Any]) -> None:
    timeline = asked["timeline"]
    segments = timeline["segments"]
    assert [segment["label"] for segment in segments] == LABELS
    assert (segments[0]["start"], segments[-1]["end"]) == (0.0, pytest.approx(END, abs=0.01))
    for cut, before, after in zip(CUTS, segments[:-1], segments[1:], strict=True):
        assert before["end"] == pytest.approx(cut, abs=timeline["stride"])
        assert after["start"] == pytest.approx(cut, abs=timeline["stride"])
    for segment in segments:
        assert segment["mean"] <= segment["peak"] <= 1.0
    assert len(timeline["timestamps"]) == len(timeline["similarities"]["a clock"]) == 20


def test_other_labels_need_no_decoding(http: httpx2.Client, asked: dict[str, Any]) -> None:
    labels = [*LABELS, "a bowl of soup"]
    body = {"labels": labels, "stride": 0.5}
    answer = http.post(f"/v1/videos/{asked['video']['id']}/timeline", json=body)
    assert answer.status_code == 200, answer.text
    again = answer.json()
    assert (again["cache"]["video"], again["cache"]["timeline"]) == ("hit", "hit")
    assert again["timings_ms"]["decode"] == again["timings_ms"]["encode"] == 0.0
    assert again["timeline"]["similarities"]["a clock"] == asked["timeline"]["similarities"]["a clock"]
    assert "a bowl of soup" in again["timeline"]["similarities"]


def test_every_road_takes_the_option(http: httpx2.Client, asked: dict[str, Any]) -> None:
    video = asked["video"]["id"]
    roads = (
        http.post("/v1/classify", json={"video_id": video, "labels": LABELS, "timeline": True}),
        http.post(f"/v1/videos/{video}/classify", json={"labels": LABELS, "timeline": {}}),
        http.post(f"/v1/videos/{video}/classify", data={"labels": json.dumps(LABELS), "timeline": "true"}),
        http.post(f"/v1/videos/{video}/timeline", data={"labels": json.dumps(LABELS)}),
    )
    answers = [road.json() for road in roads]
    assert [answer["timeline"]["segments"] for answer in answers] == [answers[0]["timeline"]["segments"]] * 4
    assert len(answers[0]["timeline"]["timestamps"]) == 10
    plain = http.post(f"/v1/videos/{video}/classify", json={"labels": LABELS, "timeline": False}).json()
    assert "timeline" not in plain
    assert plain["predictions"] == answers[0]["predictions"]


@pytest.mark.parametrize(
    ("timeline", "says"),
    [
        ({"stride": 0.001}, "stride"),
        ({"strides": 1}, "strides"),
        ({"enter": 0.2, "leave": 0.3}, "leave must not be above enter"),
        ({"stride": 2.0, "window": 1.0}, "window must be between"),
        ("{not json", "JSON"),
        ("maybe", "timeline"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(
    http: httpx2.Client, asked: dict[str, Any], timeline: Any, says: str
) -> None:
    body = {"labels": LABELS, "timeline": timeline}
    answer = http.post(f"/v1/videos/{asked['video']['id']}/classify", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")
    assert says in answer.text


def test_too_many_points_name_a_stride_that_fits(http: httpx2.Client, asked: dict[str, Any]) -> None:
    body: dict[str, Any] = {"labels": [*EVERYDAY, *(f"thing {index}" for index in range(960))], "stride": 0.02}
    answer = http.post(f"/v1/videos/{asked['video']['id']}/timeline", json=body)
    assert answer.status_code == 422
    fits = answer.json()["error"]["details"]["stride"]
    assert f"{fits:g} s" in answer.json()["error"]["hint"]


def test_a_video_whose_bytes_and_vectors_are_gone_is_409(stack: Stack, http: httpx2.Client, tmp_path: Path) -> None:
    kept = http.post("/v1/videos", files={"video": film(tmp_path / "other.mp4", SHOTS[:1]).read_bytes()}).json()["id"]
    (stack.data_dir / "store" / "blobs" / kept.removeprefix("vid_")).unlink()
    answer = http.post(f"/v1/videos/{kept}/timeline", json={"labels": LABELS})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "video_gone")
    assert "Upload it again" in answer.json()["error"]["hint"]
    http.delete(f"/v1/videos/{kept}")


def test_the_commands_show_segments(stack: Stack, asked: dict[str, Any], clip: Path) -> None:
    video = asked["video"]["id"]

    def vireo(*arguments: str) -> str:
        command = [str(BIN / "vireo"), *arguments, "--url", stack.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for shown in (
        vireo("classify", str(clip), "--timeline", "--stride", "0.5", "--labels", *LABELS),
        vireo("timeline", video, "--stride", "0.5", "--labels", *LABELS),
    ):
        rows = [line for line in shown.splitlines() if "–" in line]
        assert [next(label for label in LABELS if label in row) for row in rows] == LABELS
    answer = json.loads(vireo("timeline", video, "--json", "--labels", *LABELS))
    with Client(stack.url) as client:
        again = client.timeline(video_id=video, labels=LABELS).timeline
        assert again is not None
        assert again.raw == answer["timeline"]
