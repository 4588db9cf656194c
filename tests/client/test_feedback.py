"""Feedback by the client and by command, against a real gateway with a test double as the worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.datasets import StoredClips
from core.records import Job, LastAnswer
from core.state import keys, video_records
from tests.client.conftest import Run
from tests.service.doubles import answering
from tests.service.sites import VIDEO, Site
from vireo import Client, feedback_files
from vireo.errors import InvalidDataset, InvalidRequest, UnknownFeedback


def kept(client: Client, folder: Path, count: int) -> list[str]:
    videos = []
    for number in range(count):
        path = folder / f"{number}.mp4"
        path.write_bytes(VIDEO + bytes([number + 1]))
        videos.append(client.videos.add(path).id)
    return videos


def test_the_methods_of_the_client(
    client: Client, site: Site, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_files, "BATCH", 2)
    videos = kept(client, tmp_path, 5)
    (tmp_path / "clip.mp4").write_bytes(VIDEO)
    with answering(redis_url):
        answer = client.classify(tmp_path / "clip.mp4", ["a cat", "a dog"])
    said = client.feedback.add(job=answer.id, confirmed=True)
    assert (said.label, said.video, said.confirmed) == ("a cat", answer.video.id, True)
    table = tmp_path / "told.csv"
    lines = ["video,label", *(f"{video},{'a dog' if number % 2 else 'a cat'}" for number, video in enumerate(videos))]
    table.write_text("\n".join([*lines, "vid_1,a cat"]))
    report = client.feedback.load(table)
    assert (report.imported, report.failed) == (5, 1)
    assert [problem.where for problem in report.problems] == ["line 7"]
    assert len(list(client.feedback.list(limit=4))) == 4
    assert {each.video for each in client.feedback.list(label="a dog")} == {videos[1], videos[3]}
    client.feedback.save(tmp_path / "tasks.json", label="a cat")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 4
    (tmp_path / "tasks.json").write_text(json.dumps([*tasks, 5, tasks[0] | {"annotations": []}]))
    report = client.feedback.load(tmp_path / "tasks.json")
    assert (report.unchanged, report.skipped, report.problems[0].where) == (4, 1, "task 5")
    job = client.datasets.from_feedback("corrected", split_seed=4)
    key = site.run(site.gateway.jobs.get(job.id)).request["archive"]
    assert len(StoredClips.model_validate_json((site.store / key).read_text()).clips) == 6
    with pytest.raises(InvalidDataset, match="at least 2 labels"):
        client.datasets.from_feedback(filter={"labels": ["a dog"]})
    client.feedback.delete(said.id)
    with pytest.raises(UnknownFeedback):
        client.feedback.get(said.id)
    with pytest.raises(UnknownFeedback):
        client.feedback.delete(said.id)
    assert list(client.videos.list(order="uncertainty")) == []


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", "x"), ("a.json", "{"), ("a.json", "{}"), ("b.json", None), ("a.csv", 'video\n"a')]
)
def test_files_that_the_client_refuses(client: Client, tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidRequest, match=name):
        client.feedback.load(tmp_path / name)


def test_a_long_list_of_tasks_is_sent_in_parts(client: Client, tmp_path: Path) -> None:
    """A task with all its fields has many values; a server reads 50,000 in one body."""
    task = {"data": {"video": "clip.mp4"}, "annotations": [{"result": [{"type": "choices"}], "notes": [1] * 600}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task] * 120))
    report = client.feedback.load(tmp_path / "tasks.json")
    assert report.failed == 120
    assert [problem.where for problem in report.problems] == [f"task {number}" for number in range(1, 121)]
    (tmp_path / "tasks.json").write_text("[]")
    assert client.feedback.load(tmp_path / "tasks.json").failed == 0


def test_the_commands(run: Run, client: Client, site: Site, redis_url: str, tmp_path: Path) -> None:
    assert "There is no feedback." in run("feedback", "list").stdout
    videos = kept(client, tmp_path, 4)
    for number, video in enumerate(videos):
        added = run("feedback", "add", video, f"label {number % 2}")
        assert added.exit_code == 0, added.output
    assert f"{videos[3]} shows 'label 1'." in added.stdout
    part = json.loads(run("feedback", "add", videos[0], "a cat", "--start", "1", "--end", "2.5", "--json").stdout)
    listed = run("feedback", "list", "--video", videos[0])
    assert "1 – 2.5" in listed.stdout
    assert "label 0" in listed.stdout
    assert run("feedback", "delete", part["id"]).exit_code == 0
    assert run("feedback", "add", videos[0]).exit_code == 2
    exported = run("feedback", "export", str(tmp_path / "all.csv"))
    assert exported.exit_code == 0, exported.output
    assert "4 known already" in run("feedback", "import", str(tmp_path / "all.csv")).stdout
    (tmp_path / "bad.csv").write_text("video,label\nvid_1,a cat\n")
    failed = run("feedback", "import", str(tmp_path / "bad.csv"))
    assert failed.exit_code == 3
    assert "line 2" in failed.output

    def prepare(job: Job) -> dict[str, object]:
        return {"dataset": "ds_1", "name": job.request["name"], "classes": 2, "clips": 4, "report": []}

    with answering(redis_url, prepare, keys.DATASETS):
        made = run("feedback", "dataset", "corrected")
    assert "ds_1: 4 clips, 2 classes." in made.stdout
    refused = run("feedback", "dataset", "--label", "label 1")
    assert refused.exit_code == 3
    assert "at least 2 labels" in refused.output
    assert "still to be checked" in run("videos", "--order", "uncertainty").stdout
    (tmp_path / "other.mp4").write_bytes(VIDEO + b"other")
    other = client.videos.add(tmp_path / "other.mp4").id
    answer = LastAnswer(job="job_1", model="lite", label="a cat", score=0.6, uncertainty=0.8, at=1.0)
    script_keys, args = video_records.answer_args(other.removeprefix("vid_"), answer)
    site.redis.register_script(video_records.SET_ANSWER)(keys=script_keys, args=args)
    uncertain = run("videos", "--order", "uncertainty").stdout
    assert "0.800" in uncertain
    assert other in uncertain
    assert videos[0] not in uncertain
    assert "0.800" not in run("videos").stdout
