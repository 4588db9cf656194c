from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.errors import ModelUnavailable
from core.records import Classification
from core.storage import Staged
from tests.service.doubles import AnsweringWorker
from tests.service.sites import BASE64, FILE, LABELS, SHA, VIDEO, Site, error

Serve = Callable[..., AbstractContextManager[Site]]


def names(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [p.label for p in Classification.model_validate(answer.json()).predictions]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"labels": LABELS}, ["a cat", "a dog"]),
        ({"labels": ["a cat", "a dog, sitting"]}, ["a cat", "a dog, sitting"]),
        ({"labels": "a cat"}, ["a cat"]),
        ({"labels": '["a cat", {"name": "dog", "prompts": ["a video of a dog."]}]'}, ["a cat", "dog"]),
        ({"labels": ['{"name": "dog"}', "a cat"]}, ["dog", "a cat"]),
    ],
)
def test_all_ways_to_send_labels(
    http: httpx2.Client, worker: AnsweringWorker, site: Site, data: dict[str, Any], expected: list[str]
) -> None:
    assert names(http.post("/v1/classify", data=data, files=FILE)) == expected
    assert site.blobs() == [SHA]
    assert site.partial_files() == []


def test_the_file_may_come_before_the_labels(http: httpx2.Client, worker: AnsweringWorker) -> None:
    body = (
        b'--x\r\ncontent-disposition: form-data; name="video"; filename="c.mp4"\r\n\r\n' + VIDEO + b"\r\n"
        b'--x\r\ncontent-disposition: form-data; name="labels"\r\n\r\na cat\r\n--x--\r\n'
    )
    answer = http.post("/v1/classify", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert names(answer) == ["a cat"]


def test_every_option_reaches_the_worker(http: httpx2.Client, worker: AnsweringWorker) -> None:
    data = {
        "labels": LABELS,
        "model": "clip-b16",
        "top_k": "1",
        "templates": ["a {}.", "the {}, seen."],
        "frames": "16",
        "views": "4x3",
        "aggregate": "logits",
        "normalize_labels": "true",
        "threshold": "0.5",
    }
    answer = http.post("/v1/classify", data=data, files=FILE)
    assert worker.job(answer.json()["id"]).request == {
        "sha256": SHA,
        "question": {
            "labels": [{"name": "a cat", "prompts": None}, {"name": "a dog", "prompts": None}],
            "model": "clip-b16",
            "top_k": 1,
            "templates": ["a {}.", "the {}, seen."],
            "frames": 16,
            "views": "4x3",
            "aggregate": "logits",
            "normalize_labels": True,
            "threshold": 0.5,
        },
    }


@pytest.mark.parametrize(
    "source",
    [
        {"base64": BASE64},
        {"base64": f"data:video/mp4;base64,{BASE64}"},
        {"base64": "\n".join(BASE64[i : i + 20] for i in range(0, len(BASE64), 20))},
    ],
)
def test_json_with_base64(http: httpx2.Client, worker: AnsweringWorker, site: Site, source: dict[str, str]) -> None:
    assert names(http.post("/v1/classify", json=source | {"labels": ["a cat"]})) == ["a cat"]
    assert site.gateway.store.read(f"blobs/{SHA}") == VIDEO


def test_a_stored_video_is_classified_again_without_upload(http: httpx2.Client, worker: AnsweringWorker) -> None:
    http.post("/v1/classify", data={"labels": LABELS}, files=FILE)
    again = http.post("/v1/classify", json={"video_id": f"vid_{SHA}", "labels": ["a horse"]})
    assert names(again) == ["a horse"]


BAD_FIELDS: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({}, "invalid_labels", {}),
    ({"labels": "[]"}, "invalid_labels", {}),
    ({"labels": '["a", " "]'}, "invalid_labels", {"index": 1}),
    ({"labels": '["a", "A "]'}, "invalid_labels", {"index": 1, "first_index": 0}),
    ({"labels": json.dumps(["a", "b" * 501])}, "invalid_labels", {"index": 1, "limit": 500}),
    ({"labels": json.dumps([f"l{i}" for i in range(51)])}, "invalid_labels", {"index": 50, "limit": 50}),
    ({"labels": '["a", 7]'}, "invalid_labels", {"index": 1}),
    ({"labels": '["a", {"nam": "b"}]'}, "invalid_labels", {"index": 1}),
    ({"labels": "a cat, a dog"}, "invalid_labels", {"field": "labels"}),
    ({"labels": '["a cat"'}, "invalid_labels", {"field": "labels"}),
    ({"label": "a"}, "invalid_request", {"field": "label", "nearest": ["labels", "label_set", "normalize_labels"]}),
    ({"labels": "a", "label_set": "x"}, "invalid_request", {"field": "label_set"}),
    ({"labels": "a", "views": "5x1"}, "invalid_request", {"field": "views"}),
    ({"labels": "a", "top_k": "many"}, "invalid_request", {"field": "top_k"}),
    ({"labels": "a", "top_k": ["1", "2"]}, "invalid_request", {"field": "top_k"}),
    ({"labels": "a", "threshold": "1.5"}, "invalid_request", {"field": "threshold"}),
    ({"labels": "a", "frames": "65"}, "invalid_request", {"limit": 64}),
    ({"labels": "a", "templates": "no braces"}, "invalid_request", {"index": 0}),
    ({"labels": "a", "video_id": "vid_1"}, "invalid_request", {"field": "video_id"}),
    ({"labels": "a", "base64": "AAAA"}, "invalid_request", {"field": "base64"}),
]


@pytest.mark.parametrize(("data", "code", "details"), BAD_FIELDS)
def test_bad_fields_are_named(
    http: httpx2.Client, worker: AnsweringWorker, site: Site, data: dict[str, Any], code: str, details: dict[str, Any]
) -> None:
    found = error(http.post("/v1/classify", data=data, files=FILE), 422, code)
    assert {key: found["details"].get(key) for key in details} == details
    assert found["message"]
    assert site.partial_files() == []
    assert worker.seen == []


BAD_JSON: list[tuple[bytes, str]] = [
    (b"", "invalid_request"),
    (b"[]", "invalid_request"),
    (b'{"labels": ["a"]', "invalid_request"),
    (b'{"labels": ["a"]}', "invalid_request"),
    (b'{"labels": ["\\ud800"], "video_id": "x"}', "invalid_request"),
    (b'{"labels": ["a"], "threshold": NaN, "video_id": "x"}', "invalid_request"),
    (b"[" * 100_000, "invalid_request"),
    (b'{"labels": ["a"], "base64": "AAA"}', "invalid_request"),
    (b'{"labels": ["a"], "base64": "A=AA"}', "invalid_request"),
    (b'{"labels": ["a"], "base64": "data:video/mp4,abc"}', "invalid_request"),
    (b'{"labels": ["a"], "base64": ""}', "undecodable_video"),
    (b'{"labels": ["a"], "base64": "AAAA", "video_url": "http://a"}', "invalid_request"),
    (b'{"labels": ["a"], "video_url": "file:///etc/passwd"}', "url_not_allowed"),
    (b'{"labels": ["a"], "url": "http://127.0.0.1/a.mp4"}', "url_not_allowed"),
    (b"\xff\xfe", "invalid_request"),
]


@pytest.mark.parametrize(("body", "code"), BAD_JSON)
def test_bad_json(http: httpx2.Client, worker: AnsweringWorker, site: Site, body: bytes, code: str) -> None:
    answer = http.post("/v1/classify", content=body, headers={"content-type": "application/json"})
    error(answer, 422, code)
    assert site.partial_files() == []


def test_another_content_type(http: httpx2.Client, worker: AnsweringWorker) -> None:
    error(
        http.post("/v1/classify", content=VIDEO, headers={"content-type": "video/mp4"}), 415, "unsupported_media_type"
    )


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"nonsense"),
        ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="labels"\r\n\r\na'),
        ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\ncontent-disposition: form-data; name="labels"\r\n\r\n\xff\r\n--x--\r\n',
        ),
        (f"multipart/form-data; boundary={'x' * 300}", b"--x--"),
    ],
)
def test_malformed_forms(http: httpx2.Client, worker: AnsweringWorker, content_type: str, body: bytes) -> None:
    error(http.post("/v1/classify", content=body, headers={"content-type": content_type}), 422, "invalid_request")


def test_text_fields_are_limited_in_size(http: httpx2.Client, worker: AnsweringWorker) -> None:
    error(http.post("/v1/classify", data={"labels": "x" * (5 << 19)}, files=FILE), 413, "request_too_large")


def test_a_path_instead_of_a_file(http: httpx2.Client, worker: AnsweringWorker) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="video"\r\n\r\nclip.mp4\r\n--x--\r\n'
    answer = http.post("/v1/classify", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert "@" in error(answer, 422, "invalid_request")["hint"]


def test_two_files_and_an_empty_one(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    two = [("video", ("a.mp4", VIDEO)), ("video", ("b.mp4", VIDEO))]
    error(http.post("/v1/classify", data={"labels": "a"}, files=two), 422, "invalid_request")
    empty = {"video": ("a.mp4", b"")}
    found = error(http.post("/v1/classify", data={"labels": "a"}, files=empty), 422, "undecodable_video")
    assert found["details"]["reason"] == "empty"
    assert site.partial_files() == []


def test_errors_for_unknown_names_list_similar_names(http: httpx2.Client, worker: AnsweringWorker) -> None:
    http.put("/v1/label-sets/sports", json={"labels": ["a"]})
    http.post("/v1/classify", data={"labels": "a"}, files=FILE)
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"labels": ["a"], "video_id": f"vid_{SHA}", "model": "clip-b61"}, "unknown_model", "clip-b16"),
        ({"label_set": "sport", "video_id": f"vid_{SHA}"}, "unknown_label_set", "sports"),
        ({"label_set": "sports:7", "video_id": f"vid_{SHA}"}, "unknown_label_set", "sports:1"),
        ({"labels": ["a"], "video_id": f"vid_{SHA[:-2]}"}, "unknown_video", f"vid_{SHA}"),
    ]
    for body, code, nearest in cases:
        assert error(http.post("/v1/classify", json=body), 404, code)["details"]["nearest"][0] == nearest


def test_without_a_worker(http: httpx2.Client, site: Site) -> None:
    before = site.blobs()
    answer = http.post("/v1/classify", data={"labels": "a"}, files={"video": ("new.mp4", VIDEO + b"new")})
    error(answer, 503, "worker_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert site.blobs() == before
    detached = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "respond-async"})
    assert detached.status_code == 202


def test_a_failed_worker_says_why(http: httpx2.Client, worker: AnsweringWorker) -> None:
    worker.announce("failed", "no weights", ModelUnavailable("No weights.", hint="Get some."))
    found = error(http.post("/v1/classify", data={"labels": "a"}, files=FILE), 503, "model_unavailable")
    assert found["hint"] == "Get some."


def test_a_question_waits_for_a_starting_worker(http: httpx2.Client, worker: AnsweringWorker) -> None:
    worker.announce("starting", "loading")
    assert names(http.post("/v1/classify", data={"labels": "a"}, files=FILE)) == ["a"]


def test_the_hint_for_an_invalid_option_explains_it(site: Site) -> None:
    with site.client() as http:
        answer = http.post("/v1/classify", json={"base64": BASE64, "labels": ["a"], "views": "9x9"})
    assert answer.status_code == 422
    assert "Clips × crops" in answer.json()["error"]["hint"]


def test_a_full_queue_is_said_before_the_video_is_stored(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(http: httpx2.Client) -> httpx2.Response:
        headers = {"prefer": "respond-async"}
        return http.post("/v1/classify", data={"labels": LABELS}, files=FILE, headers=headers)

    with serve(queue_limit=1) as site, site.client() as http:
        assert ask(http).status_code == 202
        staged: list[int] = []
        stage = site.gateway.store.stage

        def record() -> Staged:
            staged.append(1)
            return stage()

        monkeypatch.setattr(site.gateway.store, "stage", record)
        assert error(ask(http), 429, "queue_full")["details"]["limit"] == 1
        assert staged == []
