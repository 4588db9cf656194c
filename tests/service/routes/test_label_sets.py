from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.errors import PreconditionFailed
from core.questions import Label
from core.records import LabelSet
from core.state import keys
from service.bodies.schemas import LabelSetBody
from service.http.conditions import Conditions
from tests.service.doubles import AnsweringWorker
from tests.service.sites import FILE, Site, error

Serve = Callable[..., AbstractContextManager[Site]]

SPORTS: dict[str, Any] = {"labels": ["skiing", {"name": "surfing", "prompts": ["a person on a wave."]}]}


def test_versions_are_written_once_and_never_changed(http: httpx2.Client, site: Site) -> None:
    first = http.put("/v1/label-sets/sports", json=SPORTS)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert first.headers["location"] == "/v1/label-sets/sports:1"
    same = http.put("/v1/label-sets/sports", json=SPORTS)
    assert (same.status_code, same.json()) == (200, first.json())
    second = http.put("/v1/label-sets/sports", json=SPORTS | {"templates": ["a video of {}."]})
    assert (second.status_code, second.json()["version"]) == (201, 2)
    back = http.put("/v1/label-sets/sports", json=SPORTS)
    assert back.json()["version"] == 3

    assert http.get("/v1/label-sets/sports").json() == back.json()
    assert http.get("/v1/label-sets/sports:1").json() == first.json()
    assert [v["version"] for v in http.get("/v1/label-sets/sports/versions").json()["data"]] == [3, 2, 1]


def test_version_numbers_are_not_reused_after_a_deletion(http: httpx2.Client, site: Site) -> None:
    http.put("/v1/label-sets/sports", json=SPORTS)
    assert http.delete("/v1/label-sets/sports").status_code == 204
    error(http.get("/v1/label-sets/sports"), 404, "unknown_label_set")
    error(http.get("/v1/label-sets/sports/versions"), 404, "unknown_label_set")
    error(http.delete("/v1/label-sets/sports"), 404, "unknown_label_set")
    assert http.put("/v1/label-sets/sports", json=SPORTS).json()["version"] == 2
    error(http.get("/v1/label-sets/sports:1"), 404, "unknown_label_set")


def test_lists_are_paged_by_name(http: httpx2.Client, site: Site) -> None:
    for name in ("b", "a", "c"):
        http.put(f"/v1/label-sets/{name}", json=SPORTS)
    first = http.get("/v1/label-sets", params={"limit": 2}).json()
    assert [s["name"] for s in first["data"]] == ["a", "b"]
    rest = http.get("/v1/label-sets", params={"limit": 2, "cursor": first["next"]}).json()
    assert [s["name"] for s in rest["data"]] == ["c"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("-x", SPORTS, "invalid_request"),
        ("a:1", SPORTS, "invalid_request"),
        ("x" * 101, SPORTS, "invalid_request"),
        ("x", {}, "invalid_labels"),
        ("x", {"labels": []}, "invalid_labels"),
        ("x", {"labels": ["a", "a"]}, "invalid_labels"),
        ("x", {"labels": ["a"], "templates": ["{"]}, "invalid_request"),
        ("x", {"labels": ["a"], "colour": 1}, "invalid_request"),
    ],
)
def test_invalid_label_sets(http: httpx2.Client, site: Site, name: str, body: dict[str, Any], code: str) -> None:
    error(http.put(f"/v1/label-sets/{name}", json=body), 422, code)
    assert http.get("/v1/label-sets").json()["data"] == []


def test_label_sets_must_be_json(http: httpx2.Client, site: Site) -> None:
    error(http.put("/v1/label-sets/x", content=b"labels"), 415, "unsupported_media_type")
    too_long = http.put("/v1/label-sets/x", content=b"[" * (9 << 20), headers={"content-type": "application/json"})
    error(too_long, 413, "request_too_large")


def test_a_question_uses_labels_and_templates_of_a_set(http: httpx2.Client, worker: AnsweringWorker) -> None:
    http.put("/v1/label-sets/sports", json=SPORTS | {"templates": ["a video of {}."]})
    http.put("/v1/label-sets/sports", json={"labels": ["running"]})
    answer = http.post("/v1/classify", data={"label_set": "sports:1"}, files=FILE).json()
    question = worker.job(answer["id"]).request["question"]
    assert [label["name"] for label in question["labels"]] == ["skiing", "surfing"]
    assert question["labels"][1]["prompts"] == ["a person on a wave."]
    assert question["templates"] == ["a video of {}."]
    own = http.post("/v1/classify", data={"label_set": "sports:1", "templates": "only {}"}, files=FILE).json()
    assert worker.job(own["id"]).request["question"]["templates"] == ["only {}"]
    latest = http.post("/v1/classify", data={"label_set": "sports"}, files=FILE).json()
    assert [p["label"] for p in latest["predictions"]] == ["running"]


def test_concurrent_puts_get_different_numbers(site: Site) -> None:
    async def put_all() -> list[int]:
        bodies = [LabelSetBody.model_validate({"labels": [f"label {i}"]}) for i in range(8)]
        made = await asyncio.gather(*(site.gateway.label_sets.put("busy", body) for body in bodies))
        return [label_set.version for label_set, _ in made]

    assert sorted(site.run(put_all())) == list(range(1, 9))


def write_versions(site: Site, name: str, count: int) -> list[str]:
    """Versions as the first release wrote them, straight into Redis."""
    texts = [
        LabelSet(
            name=name, version=n, labels=tuple(Label(name=f"activity {n}-{i}") for i in range(50)), created_at=1.0
        ).model_dump_json()
        for n in range(1, count + 1)
    ]
    site.redis.hset(keys.label_set(name), mapping={str(n): text for n, text in enumerate(texts, 1)})
    site.redis.hset(keys.LABEL_SET_VERSIONS, name, str(count))
    site.redis.sadd(keys.LABEL_SETS, name)
    return texts


def bytes_read(site: Site, work: Callable[[], object]) -> int:
    """Bytes that Redis sends while `work` runs."""

    def sent() -> int:
        return int(site.redis.info("stats")["total_net_output_bytes"])

    before = sent()
    overhead = sent() - before
    before = sent()
    work()
    return sent() - before - overhead


def test_a_read_fetches_one_version_however_many_there_are(
    http: httpx2.Client, site: Site, worker: AnsweringWorker
) -> None:
    texts = write_versions(site, "daily", 200)
    one, everything = len(texts[-1]), sum(map(len, texts))
    few = one + 30_000  # the test's other readers: the worker double polls, the gateway looks for workers
    assert everything > 5 * few
    reads: list[Callable[[], httpx2.Response]] = [
        lambda: http.get("/v1/label-sets/daily"),
        lambda: http.get("/v1/label-sets/daily:7"),
        lambda: http.get("/v1/label-sets"),
        lambda: http.get("/v1/label-sets/daily/versions", params={"limit": "1"}),
        lambda: http.put("/v1/label-sets/daily", json={"labels": ["another"]}),
        lambda: http.post("/v1/classify", data={"label_set": "daily:200"}, files=FILE),
    ]
    for read in reads:
        assert bytes_read(site, lambda read=read: read().raise_for_status()) < few  # type: ignore[misc]


def test_versions_can_be_deleted_one_by_one(http: httpx2.Client, site: Site) -> None:
    for n in range(4):
        http.put("/v1/label-sets/daily", json={"labels": [f"label {n}"]})
    assert http.delete("/v1/label-sets/daily/versions/2").status_code == 204
    error(http.get("/v1/label-sets/daily/versions/2"), 404, "unknown_label_set")
    gone = error(http.delete("/v1/label-sets/daily:2"), 404, "unknown_label_set")
    assert gone["details"]["nearest"] == ["daily:4", "daily:3", "daily:1"]
    assert http.delete("/v1/label-sets/daily:4").status_code == 204  # the newest: the one before it is the latest now
    assert http.get("/v1/label-sets/daily").json()["version"] == 3
    assert [s["version"] for s in http.get("/v1/label-sets").json()["data"]] == [3]
    assert http.put("/v1/label-sets/daily", json={"labels": ["label 3"]}).json()["version"] == 5
    for n in (1, 3, 5):
        assert http.delete(f"/v1/label-sets/daily/versions/{n}").status_code == 204
    error(http.get("/v1/label-sets/daily"), 404, "unknown_label_set")
    assert http.get("/v1/label-sets").json()["data"] == []
    assert http.put("/v1/label-sets/daily", json=SPORTS).json()["version"] == 6


def test_versions_are_paged(http: httpx2.Client, site: Site) -> None:
    write_versions(site, "daily", 5)
    seen: list[int] = []
    params = {"limit": "2"}
    while True:
        page = http.get("/v1/label-sets/daily/versions", params=params).json()
        seen += [version["version"] for version in page["data"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == [5, 4, 3, 2, 1]
    error(http.get("/v1/label-sets/daily/versions?cursor=x"), 422, "invalid_request")


def test_a_full_label_set_takes_a_new_version_after_one_is_deleted(serve: Serve) -> None:
    with serve(max_label_set_versions=2) as site, site.client() as http:
        for n in range(2):
            assert http.put("/v1/label-sets/daily", json={"labels": [f"label {n}"]}).status_code == 201
        full = error(http.put("/v1/label-sets/daily", json=SPORTS), 409, "conflict")
        assert full["details"] == {"limit": 2}
        assert http.put("/v1/label-sets/daily", json={"labels": ["label 1"]}).status_code == 200  # nothing new
        http.delete("/v1/label-sets/daily/versions/1")
        assert http.put("/v1/label-sets/daily", json=SPORTS).json()["version"] == 3


def test_conditional_reads(http: httpx2.Client, site: Site) -> None:
    tag = http.put("/v1/label-sets/sports", json=SPORTS).headers["etag"]
    for path in ("/v1/label-sets/sports", "/v1/label-sets/sports:1", "/v1/label-sets/sports/versions/1"):
        read = http.get(path)
        assert (read.status_code, read.headers["etag"]) == (200, tag)
        for header in (tag, f'"7", W/{tag}', "*"):
            same = http.get(path, headers={"if-none-match": header})
            assert (same.status_code, same.headers["etag"], same.content) == (304, tag, b"")
        assert http.get(path, headers={"if-none-match": '"7"'}).status_code == 200


def test_conditional_writes(http: httpx2.Client, site: Site) -> None:
    path, new = "/v1/label-sets/sports", {"if-none-match": "*"}
    failed = error(http.put(path, json=SPORTS, headers={"if-match": "*"}), 412, "precondition_failed")
    assert failed["details"] == {"etag": None}
    first = http.put(path, json=SPORTS, headers=new).headers["etag"]
    assert error(http.put(path, json=SPORTS, headers=new), 412, "precondition_failed")["details"] == {"etag": first}
    second = http.put(path, json={"labels": ["running"]}, headers={"if-match": first}).headers["etag"]
    error(http.put(path, json={"labels": ["late"]}, headers={"if-match": first}), 412, "precondition_failed")
    error(http.put(path, json={"labels": ["weak"]}, headers={"if-match": f"W/{second}"}), 412, "precondition_failed")
    error(http.delete(path, headers={"if-match": first}), 412, "precondition_failed")
    error(http.delete(f"{path}/versions/1", headers={"if-match": second}), 412, "precondition_failed")
    assert http.get(path).headers["etag"] == second
    assert http.delete(path, headers={"if-match": f'"9", {second}'}).status_code == 204


def test_one_of_several_writers_with_the_same_condition_wins(site: Site) -> None:
    async def put_all() -> list[bool]:
        await site.gateway.label_sets.put("busy", LabelSetBody.model_validate({"labels": ["first"]}))
        bodies = [LabelSetBody.model_validate({"labels": [f"label {i}"]}) for i in range(8)]
        sets = site.gateway.label_sets
        made = await asyncio.gather(
            *(sets.put("busy", body, Conditions(if_match='"1"')) for body in bodies), return_exceptions=True
        )
        return [isinstance(outcome, PreconditionFailed) for outcome in made]

    assert sorted(site.run(put_all())) == [False] + [True] * 7
