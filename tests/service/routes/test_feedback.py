from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.datasets import StoredClips
from core.records import Job, LastAnswer, VideoFacts
from core.state import keys, video_records
from tests.service.doubles import AnsweringWorker, answering, classification
from tests.service.library import Library
from tests.service.sites import SHA, VIDEO, Site, error, sweep

ID = f"vid_{SHA}"
LABELS = ["a cat", "a dog", "a horse"]


def keep(http: httpx2.Client, number: int = 0) -> str:
    answer = http.post("/v1/videos", files={"video": VIDEO + bytes([number]) * (number > 0)})
    video: str = answer.json()["id"]
    return video


def say(http: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/feedback", json=body)
    assert answer.is_success, answer.text
    said: dict[str, Any] = answer.json()
    return said


def tell_facts(site: Site, video: str, duration: float, fps: float | None = 25.0) -> None:
    facts = VideoFacts(duration=duration, width=4, height=2, fps=fps, codec="h264")
    script_keys, args = video_records.facts_args(video.removeprefix("vid_"), facts)
    site.redis.register_script(video_records.SET_FACTS)(keys=script_keys, args=args)


def tell_answer(site: Site, video: str, uncertainty: float) -> None:
    answer = LastAnswer(job="job_1", model="lite", label="a cat", score=0.9, uncertainty=uncertainty, at=1.0)
    script_keys, args = video_records.answer_args(video.removeprefix("vid_"), answer)
    assert site.redis.register_script(video_records.SET_ANSWER)(keys=script_keys, args=args) == 1


def test_an_answer_is_confirmed_and_corrected(http: httpx2.Client, asked: str) -> None:
    assert not http.get(f"/v1/videos/{ID}").json()["kept"]
    first = http.post("/v1/feedback", json={"job": asked, "confirmed": True})
    assert (first.status_code, first.headers["location"]) == (201, first.json()["links"]["self"])
    said = first.json()
    assert {name: said[name] for name in ("video", "label", "confirmed", "predicted", "model", "job", "revision")} == {
        "video": ID,
        "label": "a cat",
        "confirmed": True,
        "predicted": "a cat",
        "model": "lite",
        "job": asked,
        "revision": 1,
    }
    assert said["video_kept"] is True
    assert http.get(f"/v1/videos/{ID}").json()["kept"]
    assert http.post("/v1/feedback", json={"job": asked, "label": " a  cat "}).status_code == 200
    corrected = say(http, job=asked, label="a horse", labels=LABELS)
    assert (corrected["id"], corrected["revision"], corrected["confirmed"]) == (said["id"], 2, False)
    shown = http.get(f"/v1/feedback/{said['id']}").json()
    assert (shown["label"], [past["label"] for past in shown["history"]]) == ("a horse", ["a cat"])
    assert shown["history"][0]["said_at"] == said["updated_at"] < shown["updated_at"]
    assert http.delete(f"/v1/feedback/{said['id']}").status_code == 204
    error(http.get(f"/v1/feedback/{said['id']}"), 404, "unknown_feedback")
    error(http.delete(f"/v1/feedback/{said['id']}"), 404, "unknown_feedback")
    assert http.get("/v1/feedback").json()["data"] == []
    assert http.get(f"/v1/videos/{ID}").json()["kept"]


def test_a_video_with_feedback_does_not_expire(http: httpx2.Client, asked: str, site: Site) -> None:
    site.redis.zadd(keys.VIDEOS, {SHA: 1.0})  # it may be deleted with the next sweep
    say(http, job=asked, confirmed=True)
    sweep(site)
    assert http.get(f"/v1/videos/{ID}").status_code == 200


def test_a_video_is_deleted_with_its_feedback(http: httpx2.Client, asked: str, site: Site) -> None:
    say(http, job=asked, confirmed=True)
    say(http, video=ID, label="a dog", start=0.0, end=1.0)
    say(http, video=ID, label="a horse", start=0.0, end=1.0)
    other = say(http, video=keep(http, 1), label="a horse")
    http.delete(f"/v1/videos/{ID}")
    assert [said["id"] for said in http.get("/v1/feedback").json()["data"]] == [other["id"]]
    assert sorted(site.redis.scan_iter("vireo:feedback*")) == sorted(
        [
            *(keys.FEEDBACK, keys.feedback(other["id"]), keys.feedback_of_label("a horse")),
            keys.feedback_of_video(other["video"].removeprefix("vid_")),
        ]
    )
    error(http.post("/v1/feedback", json={"video": ID, "label": "a dog"}), 404, "unknown_video")
    assert keep(http) == ID


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"label": "a cat"}, 422, "invalid_request"),
        ({"video": ID}, 422, "invalid_request"),
        ({"video": ID, "label": " \x1b "}, 422, "invalid_labels"),
        ({"video": ID, "label": "x" * 501}, 422, "invalid_labels"),
        ({"video": ID, "label": "a cat", "start": 1.0}, 422, "invalid_request"),
        ({"video": ID, "label": "a cat", "start": 2.0, "end": 2.0}, 422, "invalid_request"),
        ({"video": ID, "label": "a cat", "start": 2.0, "end": 11.5}, 422, "invalid_request"),
        ({"video": ID, "label": "a cta", "labels": LABELS}, 422, "invalid_labels"),
        ({"video": ID, "label": "a cat", "model": "none"}, 404, "unknown_model"),
        ({"video": "vid_1", "label": "a cat"}, 404, "unknown_video"),
        ({"job": "job_1", "label": "a cat"}, 404, "unknown_job"),
        ({"job": "ASKED", "label": "a dog", "confirmed": True}, 422, "invalid_request"),
        ({"job": "ASKED", "video": "vid_" + "0" * 64, "label": "a dog"}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_said(
    http: httpx2.Client, asked: str, site: Site, body: dict[str, Any], status: int, code: str
) -> None:
    tell_facts(site, ID, 10.0)
    error(http.post("/v1/feedback", json=body | ({"job": asked} if body.get("job") == "ASKED" else {})), status, code)
    assert http.get("/v1/feedback").json()["data"] == []


def test_a_closed_version_must_know_the_label(http: httpx2.Client, site: Site, library: Library) -> None:
    library.version("my-gym", 1, open_labels=False, classifier={"kind": "lda"})
    video = keep(http)
    found = error(
        http.post("/v1/feedback", json={"video": video, "label": "runing", "model": "my-gym"}), 422, "invalid_labels"
    )
    assert found["details"]["nearest"] == ["running"]
    assert "neither the job nor the model" in found["hint"]
    assert say(http, video=video, label="running", model="my-gym")["model"] == "my-gym"
    library.version("open", 1)
    assert say(http, video=video, label="runing", model="open")["label"] == "runing"


def test_feedback_about_a_job_without_an_answer(http: httpx2.Client, site: Site, worker: AnsweringWorker) -> None:
    worker.answer = lambda _: None
    asked = http.post(
        "/v1/classify", data={"labels": json.dumps(LABELS)}, files={"video": VIDEO}, headers={"prefer": "respond-async"}
    ).json()["id"]
    error(http.post("/v1/feedback", json={"job": asked, "confirmed": True}), 409, "conflict")
    other = http.post("/v1/embeddings", json={"texts": ["a"]}, headers={"prefer": "respond-async"}).json()["id"]
    error(http.post("/v1/feedback", json={"job": other, "label": "a"}), 422, "invalid_request")


def test_a_part_is_compared_with_the_segment_that_fills_it(http: httpx2.Client, redis_url: str) -> None:
    def answer(job: Job) -> dict[str, Any]:
        segments = [("a dog", 0.0, 4.0), ("a horse", 4.0, 9.0)]
        listed = [
            {"label": name, "start": start, "end": end, "peak": 1.0, "mean": 1.0} for name, start, end in segments
        ]
        return classification(job) | {"timeline": {"segments": listed}}

    with answering(redis_url, answer):
        asked = http.post("/v1/classify", data={"labels": json.dumps(LABELS)}, files={"video": VIDEO}).json()["id"]
    for start, end, predicted in ((3.0, 6.0, "a horse"), (1.0, 4.5, "a dog"), (20.0, 21.0, "a cat")):
        said = say(http, job=asked, label="a dog", start=start, end=end)
        assert (said["predicted"], said["confirmed"]) == (predicted, predicted == "a dog")
    assert len(http.get("/v1/feedback", params={"video": ID}).json()["data"]) == 3


def test_feedback_is_listed_by_label_model_and_video(http: httpx2.Client, asked: str, site: Site) -> None:
    videos = [keep(http, number) for number in range(1, 6)]
    for number, video in enumerate(videos):
        say(http, video=video, label=LABELS[number % 2])
    relabelled = say(http, video=videos[1], label="a horse")
    assert site.redis.zscore(keys.feedback_of_label("a dog"), relabelled["id"]) is None
    corrected = say(http, job=asked, label="a dog")

    def listed(**params: Any) -> list[str]:
        return [each["video"] for each in http.get("/v1/feedback", params=params).json()["data"]]

    assert listed() == [ID, videos[1], videos[4], videos[3], videos[2], videos[0]]
    assert listed(label="a dog") == listed(label=" a  dog") == [ID, videos[3]]
    assert listed(label="a horse") == [videos[1]]
    assert listed(video=videos[3]) == [videos[3]]
    assert listed(model="lite") == listed(confirmed="false") == [corrected["video"]]
    assert listed(model="lite", label="a cat") == []
    pages: list[list[str]] = []
    cursor = None
    while True:
        page = http.get("/v1/feedback", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        pages.append([each["video"] for each in page["data"]])
        if (cursor := page["next"]) is None:
            break
    assert ([video for page in pages for video in page], [len(page) for page in pages]) == (listed(), [2, 2, 2])
    error(http.get("/v1/feedback", params={"video": "x"}), 422, "invalid_request")
    error(http.get("/v1/feedback", params={"cursor": "x"}), 422, "invalid_request")


def test_the_least_certain_videos_come_first(http: httpx2.Client, site: Site) -> None:
    videos = [keep(http, number) for number in range(1, 6)]
    for video, uncertainty in zip(videos, (0.2, 0.9, 0.4, 0.7), strict=False):  # nobody asked about the last one
        tell_answer(site, video, uncertainty)

    def listed(**params: Any) -> list[str]:
        page = http.get("/v1/videos", params={"order": "uncertainty"} | params).json()
        return [video["id"] for video in page["data"]]

    assert listed() == [videos[1], videos[3], videos[2], videos[0]]
    assert http.get(f"/v1/videos/{videos[1]}").json()["answer"]["uncertainty"] == 0.9
    page = http.get("/v1/videos", params={"order": "uncertainty", "limit": 2}).json()
    assert listed(cursor=page["next"]) == [videos[2], videos[0]]
    http.patch(f"/v1/videos/{videos[2]}", json={"tags": ["hall"]})
    assert listed(tag="hall") == [videos[2]]
    say(http, video=videos[1], label="a cat")
    say(http, video=videos[3], label="a cat", start=0.0, end=1.0)  # only a part: the rest is as uncertain as before
    http.delete(f"/v1/videos/{videos[2]}")
    assert site.redis.zscore(keys.VIDEOS_UNCERTAIN, videos[2].removeprefix("vid_")) is None
    assert listed() == [videos[3], videos[0]]
    tell_answer(site, videos[3], 0.1)
    assert listed() == [videos[0], videos[3]]
    assert len(http.get("/v1/videos").json()["data"]) == 4
    error(http.get("/v1/videos", params={"order": "size"}), 422, "invalid_request")


def test_the_sweep_forgets_uncertain_videos_that_are_gone(http: httpx2.Client, site: Site) -> None:
    video = keep(http)
    tell_answer(site, video, 0.5)
    site.redis.zadd(keys.VIDEOS_UNCERTAIN, {"e" * 64: 0.7})
    sweep(site)
    assert site.redis.zrange(keys.VIDEOS_UNCERTAIN, 0, -1) == [SHA]


def test_feedback_becomes_a_dataset(http: httpx2.Client, site: Site, library: Library) -> None:
    videos = [keep(http, number) for number in range(1, 6)]
    request = {"from": "feedback", "name": "corrected", "split_seed": 3}
    for number, video in enumerate(videos[:3]):
        say(http, video=video, label=LABELS[number % 2])
    say(http, video=videos[0], label="a horse", start=0.0, end=1.0)
    found = error(http.post("/v1/datasets", json=request), 422, "invalid_dataset")
    assert found["details"]["needed"] == {"labels": 2, "videos_per_label": 2}
    assert "1 labels of this feedback have as many; it is about 3 videos" in found["message"]
    assert "about parts of videos (1) is left out" in found["message"]
    say(http, video=videos[3], label="a dog")
    made = http.post("/v1/datasets", json=request, headers={"idempotency-key": "once"})
    assert (made.status_code, made.json()["kind"]) == (202, "dataset")
    assert made.json()["request"] == {"source": "feedback", "name": "corrected", "split_seed": 3, "val_fraction": 0.2}
    key = site.run(site.gateway.jobs.get(made.json()["id"])).request["archive"]
    listed = StoredClips.model_validate_json((site.store / key).read_text())
    pairs = zip(videos, ("a cat", "a dog", "a cat", "a dog"), strict=False)
    assert {(clip.sha256, clip.label) for clip in listed.clips} == {(video[4:], label) for video, label in pairs}
    assert listed.parts == (videos[0][4:],)
    say(http, video=videos[4], label="a horse")
    again = http.post("/v1/datasets", json=request, headers={"idempotency-key": "once"})
    assert again.json()["id"] == made.json()["id"]
    assert len(list((site.store / "incoming").glob("*"))) == 1
    error(http.post("/v1/datasets", json=request | {"filter": {"labels": ["a cat"]}}), 422, "invalid_dataset")
    assert (
        http.post("/v1/datasets", json={"from": "feedback"}, params={"name": "by query"}).json()["subject"]
        == "by query"
    )
    for wrong in ({"from": "uploads"}, {"name": "x"}, {"source": "feedback"}, request | {"filter": {"label": "a"}}):
        error(http.post("/v1/datasets", json=wrong), 422, "invalid_request")


def test_the_document_lists_no_json_beside_an_archive(http: httpx2.Client) -> None:
    """Stock generators send JSON wherever it is listed: a client of theirs could send no archive."""
    document = http.get("/openapi.json").json()
    listed = document["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]
    assert set(listed) == {"multipart/form-data", "application/octet-stream"}
    assert "from" in document["components"]["schemas"]["FeedbackDatasetBody"]["properties"]


def test_a_dataset_of_too_many_videos_is_refused(
    serve: Callable[..., AbstractContextManager[Site]],
) -> None:
    with serve(max_dataset_files=3) as site, site.client() as http:
        for number in range(1, 5):
            say(http, video=keep(http, number), label=LABELS[number % 2])
        assert (
            error(http.post("/v1/datasets", json={"from": "feedback"}), 422, "invalid_dataset")["details"]["limit"] == 3
        )
