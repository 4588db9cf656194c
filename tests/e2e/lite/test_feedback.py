"""From answers to a dataset: what is uncertain, what people say about it, and what is made of that."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import BIN, Stack
from tests.scenes import film
from vireo import Client

LABELS = ["a clock", "a spider web", "a traffic light"]
SHOWN = ["a clock", "a spider web", "a clock", "a spider web", "a traffic light"]


def test_corrections_become_a_dataset(stack: Stack, tmp_path: Path) -> None:
    with Client(stack.url) as client:
        films = [film(tmp_path / f"{number}.mp4", [(label, 1.0)], seed=number) for number, label in enumerate(SHOWN)]
        videos = [client.videos.add(path, tags=["feedback"]).id for path in films]
        played = client.get(f"/v1/videos/{videos[0]}/content")
        assert (played.headers["content-type"], played.content) == ("video/mp4", films[0].read_bytes())
        answers = [client.classify(video_id=video, labels=LABELS) for video in videos[:4]]
        uncertain = list(client.videos.list(tags=["feedback"], order="uncertainty"))
        margins = {answer.video.id: answer.predictions[0].score - answer.predictions[1].score for answer in answers}
        order = [video.answer.uncertainty for video in uncertain if video.answer]
        assert order == sorted(order, reverse=True)
        assert {video.id: value for video, value in zip(uncertain, order, strict=True)} == pytest.approx(
            {video: 1 - margin for video, margin in margins.items()}, abs=1e-5
        )
        for answer, label in zip(answers, SHOWN, strict=False):
            said = client.feedback.add(label, job=answer.id)
            assert said.confirmed == (said.predicted == label)
        assert list(client.videos.list(tags=["feedback"], order="uncertainty")) == []
        client.feedback.add("a traffic light", video_id=videos[4], start=0.0, end=0.5)
        made = client.datasets.from_feedback("corrected", filter={"labels": LABELS, "model": "lite"}).result()
        assert (made.classes, made.clips) == (2, 4)
        shown = client.datasets.get(made.dataset, items=True)
        assert {(item.path, item.label) for item in shown.items or ()} == set(zip(videos, SHOWN[:4], strict=False))
    command = [str(BIN / "vireo"), "feedback", "list", "--label", "a clock", "--json", "--url", stack.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert {each["video"] for each in json.loads(done.stdout)} == {videos[0], videos[2]}
