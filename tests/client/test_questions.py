"""What each kind of question sends, against an HTTP server that answers all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.client.servers import Asked, Reply, Scripted, scripted
from vireo import Client
from vireo.schema.videos import Video

VIDEO = {"id": "vid_1", "duration": 1.0}
ANSWER = {
    "id": "job_1",
    "video": VIDEO,
    "data": [],
    "sheet": {"url": "/v1/jobs/job_1/files/attention.png"},
    "url": "/v1/jobs/job_1/files/frames.jpg",
    "map": {"url": "/v1/jobs/job_1/files/labels.png"},
}


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted(Reply(200, ANSWER)) as server:
        yield server


@pytest.fixture
def client(server: Scripted) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def sent(asked: Asked) -> tuple[str, Any]:
    return asked.path, json.loads(asked.body)


def test_a_timeline_of_a_stored_video_of_a_url_and_of_a_file(server: Scripted, client: Client) -> None:
    client.timeline(video_id="vid_1", labels=["a cat"], stride=0.5, window=None)
    client.timeline(video_url="https://example.org/a.mp4", labels=["a cat"], stride=0.5, model="lite")
    client.timeline(b"a video", ["a cat"])
    stored, fetched, uploaded = server.asked
    assert sent(stored) == ("/v1/videos/vid_1/timeline", {"labels": ["a cat"], "stride": 0.5})
    assert sent(fetched) == (
        "/v1/classify",
        {
            "labels": ["a cat"],
            "model": "lite",
            "timeline": {"stride": 0.5},
            "video_url": "https://example.org/a.mp4",
        },
    )
    assert uploaded.path == "/v1/classify"
    assert b'name="timeline"\r\n\r\ntrue\r\n' in uploaded.body


def test_an_explanation_of_a_file_stores_it_first(server: Scripted, client: Client, tmp_path: Path) -> None:
    client.explain(b"a video", ["a cat", "a dog"], label="a dog", frames=4, sheet=tmp_path / "sheet.png")
    upload, explain, picture = server.asked
    assert (upload.path, b"a video" in upload.body) == ("/v1/classify", True)
    assert sent(explain) == (
        "/v1/videos/vid_1/explain",
        {"labels": ["a cat", "a dog"], "frames": 4, "label": "a dog"},
    )
    assert picture.path == "/v1/jobs/job_1/files/attention.png"
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_pictures_of_frames_and_of_labels(server: Scripted, client: Client, tmp_path: Path) -> None:
    client.frames("vid_1", frames=3, picture=tmp_path / "frames.jpg")
    client.check_labels(["a cat", {"name": "a dog", "prompts": ["A dog runs."]}], picture=tmp_path / "labels.png")
    client.label_sets.check("pets:2", model="lite")
    assert [asked.path for asked in server.asked] == [
        *("/v1/videos/vid_1/frames", "/v1/jobs/job_1/files/frames.jpg"),
        *("/v1/labels/check", "/v1/jobs/job_1/files/labels.png"),
        "/v1/label-sets/pets:2/check",
    ]
    assert sent(server.asked[2])[1] == {"labels": ["a cat", {"name": "a dog", "prompts": ["A dog runs."]}]}


def test_search_and_vectors(server: Scripted, client: Client) -> None:
    client.search("a cat", filter={"tags": ["kitchen"], "created_after": None}, top_k=3)
    client.search(video_id="vid_1")
    client.embed(["a cat"], model="lite")
    client.embed(video_id="vid_1")
    assert [sent(asked) for asked in server.asked] == [
        ("/v1/search", {"text": "a cat", "top_k": 3, "filter": {"tags": ["kitchen"]}}),
        ("/v1/search", {"video_id": "vid_1"}),
        ("/v1/embeddings", {"texts": ["a cat"], "model": "lite"}),
        ("/v1/embeddings", {"video_id": "vid_1"}),
    ]


def test_the_videos_of_a_batch(server: Scripted, client: Client, tmp_path: Path) -> None:
    stored = client.videos.get("vid_1")
    mine = {"id": "mine", "video_id": "vid_3"}
    items: list[str | Mapping[str, str] | Video] = ["vid_2", "https://example.org/a.mp4", "s3://bucket/a.mp4"]
    items += [mine, stored]
    client.batches.start(items, ["a cat"], top_k=1)
    (tmp_path / "videos.csv").write_text("video_id\nvid_1\n")
    client.batches.start(manifest=tmp_path / "videos.csv", labels=["a cat"])
    _, listed, sheet = server.asked
    assert sent(listed)[1]["items"] == [
        {"video_id": "vid_2"},
        {"video_url": "https://example.org/a.mp4"},
        {"s3": "s3://bucket/a.mp4"},
        {"id": "mine", "video_id": "vid_3"},
        {"video_id": "job_1"},
    ]
    assert b'filename="videos.csv"' in sheet.body
    assert b'["a cat"]' in sheet.body


def test_a_label_set_is_written_only_over_the_version_that_was_read(server: Scripted, client: Client) -> None:
    client.label_sets.put("pets", ["a cat"], if_version=3)
    client.label_sets.put("pets", ["a cat"], if_version=0)
    client.label_sets.put("pets", ["a cat"])
    assert [(each.headers.get("if-match"), each.headers.get("if-none-match")) for each in server.asked] == [
        ('"3"', None),
        (None, "*"),
        (None, None),
    ]
