"""The commands about what a server stores, against a real gateway with test doubles as workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import errors
from core.records import Job
from core.state.payloads import Payloads
from tests.client.conftest import Run
from tests.service.doubles import answering, frames
from tests.service.library import DATASET, Library
from tests.service.sites import VIDEO, Site


@pytest.fixture
def said(run: Run) -> Any:
    """What a command prints as JSON."""

    def ask(*arguments: str) -> Any:
        done = run(*arguments, "--json")
        assert done.exit_code == 0, done.output
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)

    return ask


def test_videos(run: Run, said: Any, site: Site, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "vid_1.mp4").write_bytes(VIDEO)
    assert "No videos are stored." in run("videos").stdout
    added = said("videos", "add", str(tmp_path / "vid_1.mp4"), "--tag", "kitchen", "--metadata", "camera=3")
    video = added["id"]
    assert (added["tags"], added["metadata"], added["kept"]) == (["kitchen"], {"camera": "3"}, True)
    assert video[:20] in run("videos", "--tag", "kitchen").stdout
    assert said("videos", "list", "--tag", "other") == []
    assert [each["id"] for each in said("videos")] == [video]
    shown = run("videos", "show", video).stdout
    assert "kitchen" in shown
    assert "it is deleted" in shown
    assert said("videos", "tag", video, "--tag", "a", "--tag", "b")["tags"] == ["a", "b"]
    assert said("videos", "tag", video, "--metadata", "camera=4")["tags"] == ["a", "b"]
    assert said("videos", "tag", video, "--no-tags")["tags"] == []
    assert run("videos", "tag", video, "--tag", "a", "--no-tags").exit_code == 2
    assert run("videos", "add", str(tmp_path / "vid_1.mp4"), "--metadata", "camera").exit_code == 2
    said("videos", "save", video, str(tmp_path / "copy.mp4"))
    assert (tmp_path / "copy.mp4").read_bytes() == VIDEO

    def draw(job: Job) -> dict[str, Any]:
        Payloads(site.gateway.store, 1).write_picture(job.id, "frames.jpg", b"picture")
        return frames(job)

    with answering(redis_url, draw):
        looked = said("videos", "frames", video, str(tmp_path / "frames.jpg"), "--frames", "3")
        assert "The frames at 0.50 s are in" in run("videos", "frames", video, str(tmp_path / "frames.jpg")).stdout
    assert (looked["frames"], (tmp_path / "frames.jpg").read_bytes()) == ([0.5] * 3, b"picture")
    assert said("videos", "delete", video) == {"deleted": [video]}
    assert run("videos", "delete", video).exit_code == 3


def test_making_videos_searchable(run: Run, said: Any, redis_url: str) -> None:
    result = {"model": "lite", "indexed": 2, "known": 1, "failed": []}
    with answering(redis_url, lambda _: result):
        assert said("videos", "index", "--tag", "kitchen") == result
        assert "2 made searchable, 1 known already, 0 failed." in run("videos", "index").stdout


def test_label_sets(run: Run, said: Any, tmp_path: Path) -> None:
    assert "There are no label sets." in run("labels").stdout
    (tmp_path / "pets.txt").write_text("a cat\na dog\n")
    assert "pets:1 has 2 labels." in run("labels", "put", "pets", "--labels", f"@{tmp_path}/pets.txt").stdout
    written = said("labels", "put", "pets", "--labels", "a cat,a dog,a bird", "--description", "at home")
    assert (written["version"], written["description"]) == (2, "at home")
    assert "at home" in run("labels", "list").stdout
    assert run("labels", "show", "pets").stdout.splitlines() == ["a cat", "a dog", "a bird"]
    assert [label["name"] for label in said("labels", "show", "pets:1")["labels"]] == ["a cat", "a dog"]
    late = run("labels", "put", "pets", "--labels", "a fish", "--if-version", "1")
    assert late.exit_code == 3
    assert run("labels", "put", "pets", "--labels", "a fish", "--if-version", "0").exit_code == 3
    assert run("labels", "put", "pets").exit_code == 2
    assert said("labels", "delete", "pets:1") == {"deleted": "pets:1"}
    assert run("labels", "show", "pets:1").exit_code == 3


def test_datasets(run: Run, said: Any, library: Library) -> None:
    assert "There are no datasets." in run("dataset").stdout
    library.dataset()
    assert DATASET in run("dataset", "list").stdout
    shown = run("dataset", "show", DATASET).stdout
    assert "boxing" in shown
    assert said("dataset", "show", DATASET)["id"] == DATASET
    assert said("dataset", "delete", DATASET) == {"deleted": DATASET}
    assert said("dataset") == []


def test_models(run: Run, said: Any, library: Library) -> None:
    for version in (1, 2):
        library.version("gym", version)
    run("alias", "gym@production", "1")
    shown = run("models", "show", "gym").stdout
    assert "production → 1" in shown
    assert "gym:2" in shown
    assert [card["version"] for card in said("models", "show", "gym:1")["cards"]] == [1]
    assert [model["name"] for model in said("models")] == ["gym"]
    assert said("models", "delete", "gym:2") == {"deleted": "gym:2"}
    assert said("alias", "gym@latest", "1")["aliases"] == {"production": 1, "latest": 1}
    assert run("models", "show", "gym:2").exit_code == 3


def test_jobs(run: Run, said: Any, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    with answering(redis_url, lambda _: errors.UndecodableVideo("This is no video.")) as worker:
        assert run("classify", str(tmp_path / "clip.mp4"), "--labels", "a cat").exit_code == 3
    (job,) = worker.seen
    assert "This is no video." in run("jobs", "show", job).stdout
    assert said("jobs", "show", job)["error"]["code"] == "undecodable_video"
    assert [each["id"] for each in said("jobs", "--state", "failed")] == [job]
    refused = run("cancel", job, "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["error"]["code"]) == (3, "conflict")


def test_batches(run: Run, said: Any, redis_url: str) -> None:
    assert "There are no batches." in run("batch").stdout
    with answering(redis_url, lambda _: None):
        started = said("batch", "start", "vid_" + "0" * 64, "https://example.org/a.mp4", "--labels", "a cat")
        assert (started["kind"], started["state"] in ("queued", "running")) == ("batch", True)
        assert started["id"] in run("batch", "list").stdout
        assert started["id"] in run("batch", "show", started["id"]).stdout
        assert said("cancel", started["id"])["id"] == started["id"]
