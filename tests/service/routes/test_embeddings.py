from __future__ import annotations

from typing import Any

import httpx2
import pytest

from core.records import Embeddings
from tests.service.doubles import AnsweringWorker
from tests.service.sites import FILE, SHA, Site, error


def test_texts(http: httpx2.Client, worker: AnsweringWorker) -> None:
    for asked in (
        http.post("/v1/embeddings", json={"texts": ["a", "b, c"], "normalize": False}),
        http.post("/v1/embeddings", files={"texts": (None, '["a", "b, c"]'), "normalize": (None, "false")}),
    ):
        answer = Embeddings.model_validate(asked.json())
        assert [e.text for e in answer.data] == ["a", "b, c"]
        assert worker.job(answer.id).request["normalize"] is False


def test_a_comma_is_part_of_a_text(http: httpx2.Client, worker: AnsweringWorker) -> None:
    fields: list[tuple[dict[str, Any], list[str]]] = [
        ({"texts": "a man, riding"}, ["a man, riding"]),
        ({"texts": ["a man, riding", "{a brace", "b"]}, ["a man, riding", "{a brace", "b"]),
        ({"texts": '["a man, riding", "b"]'}, ["a man, riding", "b"]),
        ({"texts": ['["a, b"]', "c"]}, ["a, b", "c"]),
    ]
    for sent, meant in fields:
        answer = Embeddings.model_validate(http.post("/v1/embeddings", data=sent).raise_for_status().json())
        assert [e.text for e in answer.data] == meant


def test_a_video(http: httpx2.Client, worker: AnsweringWorker) -> None:
    answer = http.post("/v1/embeddings", data={"views": "2x1", "frames": "4"}, files=FILE).json()
    assert answer["data"] == [{"object": "video", "text": None, "video_id": f"vid_{SHA}", "vector": [1.0]}]
    request = worker.job(answer["id"]).request
    assert (request["views"], request["frames"], request["sha256"]) == ("2x1", 4, SHA)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"texts": []},
        {"texts": ["a", " "]},
        {"texts": ["a" * 501]},
        {"texts": ["a"] * 51},
        {"texts": "a"},
        {"texts": ["a"], "video_id": f"vid_{SHA}"},
        {"texts": ["a"], "frames": 65},
        {"texts": ["a"], "labels": ["a"]},
    ],
)
def test_bad_bodies(http: httpx2.Client, worker: AnsweringWorker, body: dict[str, Any]) -> None:
    error(http.post("/v1/embeddings", json=body), 422, "invalid_request")
    assert worker.seen == []


def test_texts_together_with_a_file(http: httpx2.Client, worker: AnsweringWorker, site: Site) -> None:
    error(http.post("/v1/embeddings", data={"texts": "a"}, files=FILE), 422, "invalid_request")
    assert site.partial_files() == []
