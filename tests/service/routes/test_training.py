"""Training and evaluation jobs: what is refused before a job is created, and what a job's request holds."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from core.datasets import Finding
from core.errors import Cancelled, TrainingFailed
from core.state import keys
from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import DATASET, REPORT, Library
from tests.service.sites import Site, error
from tests.waiting import wait_until

GOOD: dict[str, Any] = {"name": "my-gym", "dataset": DATASET, "base": "lite"}


def train(http: httpx2.Client, **changes: Any) -> httpx2.Response:
    return http.post("/v1/training-jobs", json=GOOD | changes)


def request_of(site: Site, job_id: str) -> dict[str, Any]:
    return site.run(site.gateway.jobs.get(job_id)).request


def test_a_training_job_is_accepted_without_a_worker(http: httpx2.Client, site: Site, library: Library) -> None:
    library.dataset()
    answer = train(http, epochs=5, novel=0.5)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], job["state"], job["request"]["epochs"]) == ("training", "queued", 5)
    assert "no training worker is running" in job["progress"]["waiting_for"]
    assert http.get(f"/v1/training-jobs/{job['id']}").json() == http.get(f"/v1/jobs/{job['id']}").json()
    assert [j["id"] for j in http.get("/v1/training-jobs").json()["data"]] == [job["id"]]
    assert site.redis.zcard(keys.waiting(keys.TRAINING)) == 1
    assert site.redis.zcard(keys.waiting(keys.INFERENCE)) == 0


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "My Gym"}, "invalid_request", "name"),
    ({"name": "clip-b16"}, "invalid_request", "name"),
    ({"name": "auto"}, "invalid_request", "name"),
    ({"dataset": "ds_1"}, "invalid_request", "dataset"),
    ({"epoch": 3}, "invalid_request", "epoch"),
    ({"classifier": "lda!"}, "invalid_request", "classifier"),
    ({"templates": ["no braces"]}, "invalid_training", "templates"),
    ({"templates": []}, "invalid_training", "templates"),
    ({"templates": ["{} and {}"]}, "invalid_training", "templates"),
    ({"templates": ["a {}."], "text_inputs": "name"}, "invalid_training", "templates"),
    ({"templates": ["a {}.", "the {}."], "text_inputs": "template"}, "invalid_training", "templates"),
    ({"classifier": "lda", "text_inputs": "context"}, "invalid_training", "text_inputs"),
    ({"classifier": "learned", "templates": ["a {}."]}, "invalid_training", "templates"),
    ({"temporal": "mean", "temporal_init": "identity"}, "invalid_training", "temporal_init"),
    ({"temporal": "token_conv", "temporal_init": "random"}, "invalid_training", "temporal_init"),
    ({"temporal_init": "shift"}, "invalid_training", "temporal_init"),
    ({"recipe": "text4vis-code"}, "invalid_request", "recipe"),
    ({"method": "vify"}, "invalid_request", "method"),
    ({"method": "vifi", "recipe": "text4vis"}, "invalid_training", "recipe"),
    ({"method": "vifi", "temporal": "transformer"}, "invalid_training", "temporal"),
    ({"method": "image_only", "classifier": "lda"}, "invalid_training", "classifier"),
    ({"method": "text_only", "tune": "tower"}, "invalid_training", "tune"),
    ({"method": "vision_only", "templates": ["a {}."]}, "invalid_training", "templates"),
    ({"contrast": "kl"}, "invalid_training", "contrast"),
    ({"prompt_tokens": 4}, "invalid_training", "prompt_tokens"),
    ({"method": "vifi", "prompt_depth": 4}, "invalid_training", "prompt_depth"),
    ({"method": "vl_prompt", "prompt_tokens": 65}, "invalid_request", "prompt_tokens"),
    ({"method": "vl_prompt", "prompt_depth": 0}, "invalid_request", "prompt_depth"),
    ({"method": "vifi", "online_text": False}, "invalid_training", "online_text"),
    ({"method": "contrastive", "fusion": "image"}, "invalid_training", "fusion"),
    ({"shots": 3}, "invalid_training", "shots"),
    ({"novel": 1.5}, "invalid_training", "novel"),
    ({"novel": ["boxin"]}, "invalid_training", "novel"),
    ({"novel": ["boxing", "running"]}, "invalid_training", "novel"),
]


@pytest.mark.parametrize(("changes", "code", "field"), BAD)
def test_invalid_training_requests_are_refused_at_once(
    http: httpx2.Client, library: Library, worker: AnsweringWorker, changes: dict[str, Any], code: str, field: str
) -> None:
    library.dataset()
    found = error(train(http, **changes), 422, code)
    assert found["details"]["field"] == field
    assert http.get("/v1/jobs").json()["data"] == []


def test_messages_name_the_cause(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    library.dataset()
    thin = error(train(http, shots=3), 422, "invalid_training")
    assert "'running' has 2 clips" in thin["message"]
    assert train(http, shots=3, novel=["running"]).status_code == 202
    assert error(train(http, novel=["boxin"]), 422, "invalid_training")["details"]["nearest"] == ["boxing"]
    assert error(train(http, base="clip-b61"), 404, "unknown_model")["details"]["nearest"][0] == "clip-b16"
    assert error(train(http, method="vify"), 422, "invalid_request")["details"]["nearest"][0] == "vifi"
    assert error(train(http, recipe="text4viz"), 422, "invalid_request")["details"]["nearest"][0] == "text4vis"
    other = error(train(http, method="vifi", recipe="text4vis"), 422, "invalid_training")
    assert "text4vis is for text4vis and vision_only" in other["hint"]
    assert train(http, method="vifi", temporal="mean").status_code == 202
    error(train(http, base="my-gym:4"), 404, "unknown_model")
    error(train(http, dataset=f"ds_{'0' * 24}"), 404, "unknown_dataset")
    error(http.post("/v1/training-jobs", content=b"name=x"), 415, "unsupported_media_type")


def test_a_base_that_cannot_carry_the_method_is_refused_with_those_that_can(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset()
    library.version("gym", 1)  # of lite
    library.version("learned", 1, base="clip-b16", classifier={"kind": "text", "text_inputs": "context"})
    library.version("prompted", 1, base="clip-b16", prompts={"base": "clip-b16", "digest": "d"})
    for base in ("lite", "gym", "gym:1"):
        found = error(train(http, base=base, method="vl_prompt"), 422, "invalid_training")
        assert (found["details"]["field"], "clip-b16, clip-l14" in found["hint"]) == ("method", True)
    assert train(http, base="clip-b16", method="vl_prompt").status_code == 202
    for method, status in (("vifi", 422), ("vl_prompt", 202), ("text4vis", 202)):
        assert train(http, base="learned", method=method).status_code == status
    assert train(http, base="prompted", method="vl_prompt").status_code == 202
    assert train(http, base="learned", method="contrastive", online_text=False).status_code == 202
    found = error(train(http, base="prompted"), 422, "invalid_training")
    assert (found["details"]["field"], found["hint"]) == (
        "base",
        "Use the method vl_prompt, or start from clip-b16.",
    )


def test_a_dataset_with_errors_is_not_trained_on(http: httpx2.Client, library: Library) -> None:
    finding = Finding(severity="error", code="thin_class", message="Only one class has clips.")
    library.dataset(report=(finding,))
    found = error(train(http), 422, "invalid_dataset")
    assert found["details"]["report"][0]["code"] == "thin_class"


def test_the_base_is_resolved_when_the_job_is_created(http: httpx2.Client, site: Site, library: Library) -> None:
    library.dataset()
    library.version("old", 1)
    headers = {"idempotency-key": "k"}
    first = http.post("/v1/training-jobs", json=GOOD | {"base": "old"}, headers=headers).json()["id"]
    assert request_of(site, first)["base"] == "old:1"
    library.version("old", 2)
    again = http.post("/v1/training-jobs", json=GOOD | {"base": "old"}, headers=headers)
    assert again.json()["id"] == first  # a repeat is recognised by the request as sent, not as resolved
    assert request_of(site, train(http, base="old").json()["id"])["base"] == "old:2"


def test_cancel_and_resume(http: httpx2.Client, library: Library, site: Site, redis_url: str) -> None:
    library.dataset()
    path = f"/v1/training-jobs/{train(http).json()['id']}"
    assert error(http.post(f"{path}/resume"), 409, "conflict")["details"]["state"] == "queued"
    assert http.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert site.redis.zcard(keys.waiting(keys.TRAINING)) == 0
    resumed = http.post(f"{path}/resume")
    assert (resumed.status_code, resumed.json()["state"], resumed.json()["error"]) == (202, "queued", None)
    with answering(redis_url, lambda _: None, keys.TRAINING) as worker:
        wait_until(lambda: http.get(path).json()["state"] == "running")
        assert http.post(f"{path}/cancel").status_code == 202
        wait_until(lambda: worker.cancelled == [path.rpartition("/")[2]])
        worker.finish(worker.cancelled[0], Cancelled("It was cancelled."))
        assert http.post(f"{path}/resume").status_code == 202
        wait_until(lambda: http.get(path).json()["attempts"] == 2)
        worker.finish(worker.cancelled[0], TrainingFailed("The loss is not a number.", step=3))
        assert http.get(path).json()["error"]["details"] == {"step": 3}
        assert http.post(f"{path}/resume").status_code == 202
        wait_until(lambda: http.get(path).json()["attempts"] == 3)
        worker.finish(worker.cancelled[0], {"model": "my-gym:1"})
    error(http.post(f"{path}/resume"), 409, "conflict")
    error(http.post(f"{path}/cancel"), 409, "conflict")


def test_a_training_job_has_one_answer_under_both_of_its_paths(http: httpx2.Client, library: Library) -> None:
    library.dataset()
    job_id = train(http).json()["id"]
    for path in ("", "/events"):
        if path:
            assert http.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
        answers = [http.get(f"/v1/{name}/{job_id}{path}") for name in ("jobs", "training-jobs")]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].text == answers[1].text
    cancelled = [http.post(f"/v1/{name}/{job_id}/cancel").json() for name in ("jobs", "training-jobs")]
    assert cancelled[0] == cancelled[1]


def test_other_jobs_are_not_found_as_training_jobs(http: httpx2.Client, library: Library, site: Site) -> None:
    job_id = http.post("/v1/datasets", content=b"x").json()["id"]
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/metrics"),
        ("POST", "/cancel"),
        ("POST", "/resume"),
    ):
        found = error(http.request(method, f"/v1/training-jobs/{job_id}{path}"), 404, "unknown_job")
        assert f"/v1/jobs/{job_id}" in found["hint"]
    assert http.get("/v1/training-jobs").json()["data"] == []


def evaluate(http: httpx2.Client, **changes: Any) -> httpx2.Response:
    return http.post("/v1/evaluations", json={"dataset": DATASET} | changes)


def test_an_evaluation_and_its_report(http: httpx2.Client, library: Library, site: Site, redis_url: str) -> None:
    library.dataset()
    library.version("gym", 1, classes=("boxing", "running", "swimming"), open_labels=False)
    job_id = evaluate(http, model="gym").json()["id"]
    assert request_of(site, job_id)["model"] == "gym:1"
    path = f"/v1/evaluations/{job_id}"
    error(http.get(f"{path}/report"), 404, "not_found")
    library.store.write_text(f"evaluations/{job_id}/report.html", REPORT)
    library.store.write_text(f"evaluations/{job_id}/confusion.png", "x")
    page = http.get(f"{path}/report")
    assert (page.text, page.headers["content-type"]) == (REPORT, "text/html; charset=utf-8")
    assert "script-src" not in page.headers["content-security-policy"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert http.get(f"{path}/files/confusion.png").headers["content-type"] == "image/png"
    for bad in ("report.txt", "..%2Freport.html", ".png", "a.b.png"):
        assert http.get(f"{path}/files/{bad}").status_code == 404
    assert http.get("/v1/evaluations/../report").status_code == 404


def write_evaluation(library: Library, job_id: str) -> dict[str, Any]:
    single = {"clips": 2, "top1": 0.5, "top1_interval": [0.1, 0.9], "top5": 1.0, "top5_k": 5}
    views = {"1x1": single | {"mean_class_accuracy": 0.5, "map": 0.5}}
    report = {
        "model": {"name": "gym:1", "base": None},
        "dataset": {"id": DATASET, "digest": "d", "name": "gym"},
        "split": "val",
        "protocol": "standard",
        "created_at": 5.0,
        "views": views,
    }
    library.store.write_text(f"evaluations/{job_id}/report.html", REPORT)
    library.store.write_text(f"evaluations/{job_id}/report.json", json.dumps(report | {"confusion": [[1]]}))
    path = f"/v1/evaluations/{job_id}"
    kept = {name: report[name] for name in ("split", "protocol", "created_at", "views")}
    links = {"self": path, "report": f"{path}/report"}
    return {"id": job_id, "model": "gym:1", "dataset": DATASET, "links": links, "rows": []} | kept


def test_evaluations_are_listed_and_deleted(http: httpx2.Client, library: Library, site: Site) -> None:
    ids = [f"job_{n:024x}" for n in range(3)]
    written = [write_evaluation(library, job_id) for job_id in ids]
    library.store.write_text(f"evaluations/job_{9:024x}/report.html", REPORT)  # its upload has not ended
    assert http.get(f"/v1/evaluations/{ids[1]}").json() == written[1]
    first = http.get("/v1/evaluations", params={"limit": "2"}).json()
    assert first["data"] == written[:2]
    rest = http.get("/v1/evaluations", params={"limit": "2", "cursor": first["next"]}).json()
    assert (rest["data"], rest["next"]) == (written[2:], None)
    assert http.delete(f"/v1/evaluations/{ids[1]}").status_code == 204
    assert [each["id"] for each in http.get("/v1/evaluations").json()["data"]] == [ids[0], ids[2]]
    error(http.get(f"/v1/evaluations/{ids[1]}/report"), 404, "not_found")
    for method in ("GET", "DELETE"):
        found = error(http.request(method, f"/v1/evaluations/{ids[1]}"), 404, "not_found")
        assert set(found["details"]["nearest"]) >= {ids[0], ids[2]}
    error(http.delete("/v1/evaluations/none"), 404, "not_found")


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"split": "test"}, 422, "invalid_request", "split"),
        ({"protocol": "half_class"}, 422, "invalid_request", "protocol"),
        ({"protocol": "fixed-splits"}, 422, "invalid_request", "dataset"),
        ({"protocol": "k-shot", "shots": [3]}, 422, "invalid_request", "shots"),
        ({"protocol": "k-shot", "shots": []}, 422, "invalid_request", "shots"),
        ({"protocol": "k-shot", "shots": [True]}, 422, "invalid_request", "shots[0]"),
        ({"protocol": "base-to-novel", "shots": [1]}, 422, "invalid_request", "dataset"),
        ({"protocol": "k-shot", "views": "4x3"}, 422, "invalid_request", "views"),
        ({"shots": [1]}, 422, "invalid_request", "shots"),
        ({"split_column": "1"}, 422, "invalid_request", "split_column"),
        ({"split_column": "a b"}, 422, "invalid_request", "split_column"),
        ({"protocol": "k-shot", "shots": [1], "name": "lite"}, 422, "invalid_request", "name"),
        ({"labels": ["a", "b"]}, 422, "invalid_labels", "labels"),
        ({"templates": ["x"]}, 422, "invalid_request", "templates"),
        ({"model": "closed"}, 422, "invalid_labels", None),
        ({"model": "nobody"}, 404, "unknown_model", None),
        ({"dataset": f"ds_{'0' * 24}"}, 404, "unknown_dataset", None),
    ],
)
def test_invalid_evaluations(
    http: httpx2.Client,
    library: Library,
    worker: AnsweringWorker,
    changes: dict[str, Any],
    status: int,
    code: str,
    field: str | None,
) -> None:
    library.dataset()
    library.version("closed", 1, open_labels=False)
    found = error(evaluate(http, **changes), status, code)
    assert field is None or found["details"]["field"] == field


def test_an_unknown_name_is_answered_with_the_nearest(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset()
    found = error(evaluate(http, protocol="base-two-novel"), 422, "invalid_request")
    assert (found["details"]["field"], found["details"]["nearest"][0]) == ("protocol", "base-to-novel")
    for name, wrong, nearest in (("method", "vify", "vifi"), ("recipe", "text4viz", "text4vis")):
        found = error(evaluate(http, protocol="k-shot", training={name: wrong}), 422, "invalid_request")
        assert (found["details"]["field"], found["details"]["nearest"][0]) == (f"training.{name}", nearest)


def test_a_dataset_that_is_too_small_for_a_protocol_is_refused_with_its_classes(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset()
    found = error(evaluate(http, protocol="k-shot", shots=[1, 3]), 422, "invalid_request")
    assert (found["details"]["classes"], found["details"]["limit"]) == (["running"], 2)
    assert "'running' has 2" in found["message"]
    found = error(evaluate(http, protocol="base-to-novel"), 422, "invalid_request")
    assert found["details"]["classes"] == ["boxing", "running", "swimming"]
    assert http.get("/v1/jobs").json()["data"] == []


def test_a_base_that_cannot_carry_the_method_of_a_protocol(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.dataset()
    asked = {"protocol": "k-shot", "shots": [1], "training": {"method": "vl_prompt"}}
    found = error(evaluate(http, model="lite", **asked), 422, "invalid_training")
    assert (found["details"]["field"], "clip-b16, clip-l14" in found["hint"]) == ("method", True)
    found = error(
        evaluate(http, protocol="k-shot", shots=[1], training={"tune": "tower", "method": "text_only"}),
        422,
        "invalid_training",
    )
    assert found["details"]["field"] == "tune"
    assert evaluate(http, model="clip-b16", **asked).status_code == 202


def test_a_protocol_is_recorded_as_it_is_run(http: httpx2.Client, library: Library, site: Site) -> None:
    library.dataset()
    library.version("gym", 1)
    assert request_of(site, evaluate(http, model="gym", protocol="multi-view").json()["id"])["views"] == "4x3"
    assert request_of(site, evaluate(http, model="gym", protocol="image").json()["id"])["frames"] == 1
    recorded = request_of(site, evaluate(http, model="gym", protocol="k-shot", shots=[1]).json()["id"])
    assert (recorded["model"], recorded["shots"], recorded["protocol"]) == ("gym:1", [1], "k-shot")


def test_a_protocol_needs_room_for_its_runs(http: httpx2.Client, library: Library, site: Site) -> None:
    library.dataset()
    library.version("gym", 1)
    limit = site.settings.queue_limit
    many = {"model": "gym", "protocol": "k-shot", "shots": [1, 2], "seeds": list(range(50))}
    waiting = keys.waiting(keys.TRAINING)
    site.redis.zadd(waiting, {f"job_{number}": number for number in range(limit - 100)})
    assert evaluate(http, **many).status_code == 429
    site.redis.zrem(waiting, "job_0")
    assert evaluate(http, **many).status_code == 202
