"""Two projects on one copy of the product, each with a key: what one does is nothing that the other could notice."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from core.access.ring import KeyRing
from core.settings import Settings
from launcher.redis_at_hand import redis_at_hand
from tests.e2e.runs import CLASSES, classify, finished, start, train, upload
from tests.e2e.stack import Stack

LABELS = ["a test card", "a counter"]


@dataclass(frozen=True)
class Tenants:
    acme: httpx2.Client
    other: httpx2.Client


@pytest.fixture(scope="module")
def tenants(stack: Stack) -> Iterator[Tenants]:
    """The copy needs keys for as long as there are any: the tests of other modules send none."""
    with redis_at_hand(Settings(data_dir=stack.data_dir)) as redis, stack.http() as acme, stack.http() as other:
        ring = KeyRing(redis)
        for project, client in (("acme", acme), ("other", other)):
            _, token = ring.create("test", ("classify", "train", "admin"), project)
            client.headers["Authorization"] = f"Bearer {token}"
        try:
            yield Tenants(acme, other)
        finally:
            for key in ring.all():
                ring.revoke(key.id)


def keep(http: httpx2.Client, archive: Path, number: int) -> str:
    with zipfile.ZipFile(archive) as zipped:
        video = zipped.read(f"scenes/{CLASSES[number % 2]}/{number}.mp4")
    answer = http.post("/v1/videos", files={"video": ("clip.mp4", video)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def answer(http: httpx2.Client, archive: Path, model: str = "tiny", labels: Sequence[str] = LABELS) -> dict[str, Any]:
    found = classify(http, archive, model, labels)
    assert found.status_code == 200, found.text
    result: dict[str, Any] = found.json()
    return result


def test_a_video_that_another_project_has_sent_is_decoded_again(tenants: Tenants, archive: Path) -> None:
    labels = ["stripes", "digits"]  # that no other test asks for
    first, again = (answer(tenants.acme, archive, labels=labels) for _ in range(2))
    assert (first["cache"]["video"], again["cache"]["video"]) == ("miss", "hit")
    theirs = answer(tenants.other, archive, labels=labels)
    assert (theirs["cache"]["video"], theirs["cache"]["classifier"]) == ("miss", "miss")
    assert theirs["timings_ms"]["decode"] > 0
    assert not again["timings_ms"].get("decode")
    assert theirs["predictions"] == first["predictions"]
    assert tenants.acme.delete(f"/v1/videos/{first['video']['id']}").status_code == 204
    assert tenants.other.get(f"/v1/videos/{first['video']['id']}/content").status_code == 200
    assert answer(tenants.other, archive)["cache"]["video"] == "hit"


def test_a_version_answers_only_the_project_that_trained_it(tenants: Tenants, archive: Path, stack: Stack) -> None:
    acme, other = tenants.acme, tenants.other
    dataset = upload(acme, archive)
    assert other.get(f"/v1/datasets/{dataset}").status_code == 404
    refused = other.post("/v1/training-jobs", json={"name": "gym", "dataset": dataset, "base": "tiny"})
    assert refused.json()["error"]["code"] == "unknown_dataset"
    job = start(acme, dataset, "gym", epochs=1)
    assert finished(acme, job)["result"]["model"] == "gym:1"
    assert other.get(f"/v1/jobs/{job}").status_code == 404
    for model in ("gym", "gym:1"):
        assert classify(acme, archive, model, LABELS).status_code == 200
        assert classify(other, archive, model, LABELS).json()["error"]["code"] == "unknown_model"
    assert upload(other, archive) == dataset  # its id follows from what is in it
    assert train(other, dataset, "gym", epochs=1, seed=5)["model"] == "gym:1"
    assert answer(acme, archive, "gym")["model_info"]["digest"] != answer(other, archive, "gym")["model_info"]["digest"]
    assert acme.delete("/v1/models/gym").status_code == 204
    assert answer(other, archive, "gym")["model"] == "gym:1"
    assert classify(acme, archive, "gym", LABELS).json()["error"]["code"] == "unknown_model"
    registries = [path.parts[-4] for path in stack.data_dir.glob("store/projects/*/registry/gym/1")]
    assert registries == ["other"]


def test_a_search_and_a_batch_reach_only_the_videos_of_their_project(tenants: Tenants, archive: Path) -> None:
    own = {http: keep(http, archive, number) for number, http in enumerate((tenants.acme, tenants.other), 2)}
    for http in own:
        indexed = http.post("/v1/search/index", json={"model": "tiny"}, headers={"Prefer": "wait=60"})
        assert indexed.status_code == 200, indexed.text
    for http, video in own.items():
        stored = {each["id"] for each in http.get("/v1/videos").json()["data"]}
        found = http.post("/v1/search", json={"text": "a counter", "model": "tiny", "top_k": 50}).json()
        assert video in stored
        assert {hit["video"] for hit in found["data"]} == stored
        assert found["stored"] == len(stored)
    body = {"items": [{"video_id": own[tenants.acme]}], "labels": LABELS, "model": "tiny"}
    batch = tenants.other.post("/v1/batches", json=body).json()["id"]
    finished(tenants.other, batch)
    rows = tenants.other.get(f"/v1/batches/{batch}/results").text.splitlines()
    assert [json.loads(row)["error"]["code"] for row in rows] == ["unknown_video"]
