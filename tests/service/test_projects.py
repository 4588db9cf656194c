"""Two projects on one gateway, each with a key of its own: what one makes is unknown to the other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import redis

from core.access.ring import KeyRing
from core.datasets import archive_key, dataset_key
from core.state import keys
from core.state.payloads import payloads_key
from core.state.project_keys import ProjectKeys
from tests.core.calibration.records import published
from tests.service.doubles import AnsweringWorker, answer_all
from tests.service.library import DATASET, Library
from tests.service.routes.test_training import write_evaluation
from tests.service.sites import FILE, SHA, VIDEO, Site, sweeper_of

LABELS: Final = ["a cat", "a dog"]
CLIP: Final = "0" * 64


@pytest.fixture
def acme(site: Site, redis_url: str) -> Iterator[httpx2.Client]:
    with client_of("acme", site, redis_url) as client:
        yield client


@pytest.fixture
def other(site: Site, redis_url: str) -> Iterator[httpx2.Client]:
    with client_of("other", site, redis_url) as client:
        yield client


def client_of(project: str, site: Site, redis_url: str) -> httpx2.Client:
    with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
        _, token = KeyRing(plain).create("test", ("classify", "train", "admin"), project)
    client = site.client()
    client.headers["Authorization"] = f"Bearer {token}"
    return client


@pytest.fixture(autouse=True)
def _empty_parts(site: Site) -> Iterator[None]:
    yield
    for project in ("acme", "other"):
        store = site.gateway.store.of(project)
        for name in store.children(""):
            store.delete_tree(name, marker="")


@dataclass(frozen=True)
class Things:
    """Ids of what a project has, by the path of its resource; and what the rest of such a path may be."""

    ids: dict[str, str]
    rest: dict[str, str]

    def path(self, template: str) -> str:
        """A path of the OpenAPI document for what the project has."""
        resource = "/".join(template.split("/")[:3])
        first, *others = (part for part in template.split("/")[3:])
        filled = [self.ids[resource] if first.startswith("{") else first]
        files = {"{file}": self.rest[resource]} if "{file}" in others else {}
        return "/".join([resource, *filled, *((self.rest | files).get(part, part) for part in others)])


@pytest.fixture
def things(acme: httpx2.Client, site: Site, worker: AnsweringWorker, tmp_path: Path) -> Things:
    """One of each kind, in the project acme."""
    worker.answer = lambda job: answer_all(job) if job.kind == "classification" else None
    store = site.gateway.store.of("acme")
    library = Library(store)
    library.dataset()
    store.write_text(f"{dataset_key(DATASET)}/clips/{CLIP}", "clip")
    for number in (1, 2):
        library.version("gym", number)
    made(acme.put("/v1/models/gym/aliases/production", json={"version": 1}))
    made(acme.put("/v1/models/gym/aliases/production/shadow", json={"version": 2, "share": 1.0}))
    job = made(acme.post("/v1/classify", data={"labels": json.dumps(LABELS)}, files=FILE))["id"]
    site.gateway.store.write_text(f"{payloads_key(job)}/attention.png", "picture")
    video = made(acme.post("/v1/videos", files=FILE))["id"]
    training = made(acme.post("/v1/training-jobs", json={"dataset": DATASET, "name": "gym"}))["id"]
    made(acme.post(f"/v1/jobs/{training}/cancel"))
    write_evaluation(library, job)
    store.write_text(f"evaluations/{job}/confusion.png", "picture")
    return Things(
        {
            "/v1/videos": video,
            "/v1/jobs": job,
            "/v1/training-jobs": training,
            "/v1/batches": made(acme.post("/v1/batches", json={"items": [{"video_id": video}], "labels": LABELS}))[
                "id"
            ],
            "/v1/feedback": made(acme.post("/v1/feedback", json={"video": video, "label": "a cat"}))["id"],
            "/v1/label-sets": made(acme.put("/v1/label-sets/sports", json={"labels": LABELS}))["name"],
            "/v1/datasets": DATASET,
            "/v1/models": "gym",
            "/v1/evaluations": job,
            "/v1/calibrations": published(store, tmp_path).id,
        },
        {
            "{n}": "1",
            "{alias}": "production",
            "{sha256}": CLIP,
            "/v1/jobs": "attention.png",
            "/v1/models": "confusion.png",
            "/v1/evaluations": "confusion.png",
            "/v1/calibrations": "reliability.png",
        },
    )


def made(answer: httpx2.Response) -> Any:
    assert answer.status_code in (200, 201, 202), answer.text
    return answer.json()


BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("patch", "/v1/videos/{id}"): {"tags": ["mine"]},
    ("post", "/v1/videos/{id}/classify"): {"labels": LABELS},
    ("post", "/v1/videos/{id}/timeline"): {"labels": LABELS},
    ("post", "/v1/videos/{id}/explain"): {"labels": LABELS},
    ("put", "/v1/models/{name}/aliases/{alias}"): {"version": 1},
    ("put", "/v1/models/{name}/aliases/{alias}/shadow"): {"version": 2},
    ("post", "/v1/models/{name}/aliases/{alias}/compare"): {"model": "lite"},
}
OWN: Final = {("put", "/v1/label-sets/{name}")}  # makes the project's own


def routes(client: httpx2.Client) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method, path) for path, item in paths.items() for method in item if path.startswith("/v1/")]


def test_what_one_project_has_is_unknown_to_another_on_every_route(
    acme: httpx2.Client, other: httpx2.Client, things: Things
) -> None:
    named = [(method, path) for method, path in routes(acme) if "{" in path]
    assert len(named) > 40
    for method, path in named:
        if (method, path) not in OWN:
            answer = ask(other, method, path, things)
            assert answer.status_code == 404, (method, path, answer.text)
    for method, path in named:  # these were the right paths, and nothing was changed
        if method == "get":
            assert ask(acme, method, path, things).status_code == 200, path


def ask(client: httpx2.Client, method: str, path: str, things: Things) -> httpx2.Response:
    body = None if method in ("get", "delete") else BODIES.get((method, path), {})
    return client.request(method.upper(), things.path(path), json=body)


def test_lists_have_only_what_the_project_has(acme: httpx2.Client, other: httpx2.Client, things: Things) -> None:
    lists = [path for method, path in routes(acme) if method == "get" and path in things.ids]
    assert len(lists) == 9  # batches have none
    for path in lists:
        seen = made(other.get(path))["data"]
        assert [each["name"] for each in seen] == ["lite", "clip-b16", "clip-l14"] if path == "/v1/models" else not seen
        assert things.ids[path] in str(made(acme.get(path))["data"]), path
    assert made(other.get("/v1/feedback/export")) == []
    assert made(other.get("/v1/videos", params={"tag": "a"}))["data"] == []


def test_no_error_proposes_what_another_project_has(acme: httpx2.Client, other: httpx2.Client, things: Things) -> None:
    misspelt = {path: name[:-1] + ("x" if name[-1] != "x" else "y") for path, name in things.ids.items()}
    for path, name in misspelt.items():
        assert things.ids[path] not in other.get(f"{path}/{name}").text.replace(name, ""), path
    for path in ("/v1/videos", "/v1/jobs", "/v1/label-sets", "/v1/datasets", "/v1/models"):  # the owner is helped
        assert things.ids[path] in acme.get(f"{path}/{misspelt[path]}").text, path
    refused = other.post("/v1/classify", data={"labels": '["a"]', "model": "gym@production"}, files=FILE)
    assert refused.json()["error"]["code"] == "unknown_model"
    assert refused.text == refused.text.replace("fine-tuned", "")


def test_two_projects_may_use_the_same_names_and_the_same_bytes(
    acme: httpx2.Client, other: httpx2.Client, things: Things, site: Site
) -> None:
    assert other.put("/v1/label-sets/sports", json={"labels": ["skiing"]}).json()["version"] == 1
    assert acme.get("/v1/label-sets/sports").json()["labels"][0]["name"] == "a cat"
    assert other.post("/v1/videos", files=FILE).status_code == 201  # new, although acme has the same bytes
    assert other.get(f"/v1/videos/vid_{SHA}").json()["tags"] == []
    assert other.get(f"/v1/feedback/{things.ids['/v1/feedback']}").status_code == 404
    assert acme.delete(f"/v1/videos/vid_{SHA}").status_code == 204
    assert acme.get(f"/v1/videos/vid_{SHA}").status_code == 404
    assert other.get(f"/v1/videos/vid_{SHA}/content").content == VIDEO
    assert other.delete("/v1/label-sets/sports").status_code == 204
    assert acme.get("/v1/label-sets/sports").status_code == 200


def test_an_idempotency_key_belongs_to_a_project(
    acme: httpx2.Client, other: httpx2.Client, worker: AnsweringWorker
) -> None:
    def send(client: httpx2.Client) -> str:
        asked = client.post("/v1/embeddings", json={"texts": ["a"]}, headers={"Idempotency-Key": "k"})
        return str(made(asked)["id"])

    first = send(acme)
    assert send(acme) == first
    assert send(other) != first


def test_the_sweeper_looks_after_all_projects(
    acme: httpx2.Client, other: httpx2.Client, site: Site, worker: AnsweringWorker
) -> None:
    store, own = site.gateway.store.of("acme"), ProjectKeys("acme")
    job = made(acme.post("/v1/classify", data={"labels": json.dumps(LABELS)}, files=FILE))["id"]
    made(other.post("/v1/videos", files=FILE))
    store.write_text(archive_key("abandoned"), "x")
    site.redis.zadd(own.videos, {SHA: time.time() - 1})
    site.redis.zadd(keys.FINISHED, {job: time.time() - 100})
    sweeper = sweeper_of(site, answer_ttl=60)
    sweeper.run_once()
    sweeper.run_once()
    assert store.find("") == []
    assert not site.redis.keys("vireo:project:acme:*")
    assert acme.get(f"/v1/jobs/{job}").status_code == 404
    assert other.get(f"/v1/videos/vid_{SHA}").status_code == 200


def test_what_was_there_before_projects_belongs_to_the_default_one(
    acme: httpx2.Client, site: Site, redis_url: str, library: Library
) -> None:
    library.version("gym", 1)
    library.dataset()
    with client_of("default", site, redis_url) as default:
        assert default.get("/v1/models/gym").status_code == 200
        assert default.get(f"/v1/datasets/{DATASET}").status_code == 200
        made(default.post("/v1/videos", files=FILE))
    assert site.blobs() == [SHA]
    for path in ("/v1/models/gym", f"/v1/datasets/{DATASET}", f"/v1/videos/vid_{SHA}"):
        assert acme.get(path).status_code == 404
