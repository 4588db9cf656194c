"""Fine-tuned models: their names, versions and aliases, and questions to exactly one version."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.errors import Cancelled
from core.state import keys
from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import DATASET, REPORT, WEIGHTS, Library
from tests.service.sites import BASE64, FILE, SHA, Site, error


def ask(http: httpx2.Client, **fields: Any) -> httpx2.Response:
    return http.post("/v1/classify", data=fields, files=FILE)


def labels(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [p["label"] for p in answer.json()["predictions"]]


def test_fine_tuned_models_are_listed_after_the_zoo(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    for number in (1, 2, 10):
        library.version("gym", number)
    library.version("boats", 1)
    assert http.put("/v1/models/gym/aliases/production", json={"version": 2}).status_code == 200
    data = http.get("/v1/models").json()["data"]
    assert [m["name"] for m in data] == ["lite", "clip-b16", "clip-l14", "boats", "gym"]
    gym = data[-1]
    assert (gym["kind"], gym["versions"], gym["newest"]) == ("fine-tuned", [1, 2, 10], 10)
    assert (gym["aliases"], gym["digest"], gym["default"]) == ({"production": 2}, "d10", False)
    assert (data[0]["kind"], data[0]["default"], data[0]["versions"]) == ("zoo", True, [])


@pytest.mark.parametrize(("ref", "versions"), [("gym", [2, 1]), ("gym:1", [1]), ("gym@production", [1]), ("lite", [])])
def test_cards(http: httpx2.Client, library: Library, worker: AnsweringWorker, ref: str, versions: list[int]) -> None:
    library.version("gym", 1)
    library.version("gym", 2)
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    detail = http.get(f"/v1/models/{ref}").json()
    assert [card["version"] for card in detail["cards"]] == versions
    assert detail["name"] == ref.partition(":")[0].partition("@")[0]


@pytest.mark.parametrize("ref", ["gim", "gym:3", "gym@nobody", "gym:0", "gym:", ".gym", "GYM", "gym:1:1"])
def test_unknown_models(http: httpx2.Client, library: Library, worker: AnsweringWorker, ref: str) -> None:
    library.version("gym", 1)
    error(http.get(f"/v1/models/{ref}"), 404, "unknown_model")
    error(ask(http, labels="a", model=ref), 404, "unknown_model")
    near = error(http.get("/v1/models/gim"), 404, "unknown_model")
    assert near["details"]["nearest"] == ["gym"]


def test_aliases_are_moved_and_deleted(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    for number in (1, 2):
        library.version("gym", number)
    path = "/v1/models/gym/aliases/production"
    for number in (1, 2):
        moved = http.put(path, json={"version": number}).json()
        assert (moved["aliases"], moved["cards"][0]["version"]) == ({"production": number}, number)
    error(http.put(path, json={"version": 3}), 404, "unknown_model")
    error(http.put(path, json={"version": 0}), 422, "invalid_request")
    error(http.put("/v1/models/gym/aliases/Prod!", json={"version": 1}), 422, "invalid_request")
    error(http.put("/v1/models/none/aliases/production", json={"version": 1}), 404, "unknown_model")
    error(http.put("/v1/models/../aliases/production", json={"version": 1}), 404, "not_found")
    assert http.delete(path).status_code == 204
    error(http.delete(path), 404, "not_found")
    assert http.get("/v1/models/gym").json()["aliases"] == {}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classify", {"base64": BASE64, "labels": ["a"], "model": "gym:2"}),
        ("/v1/embeddings", {"texts": ["a"], "model": "gym@production"}),
        ("/v1/evaluations", {"dataset": DATASET, "model": "gym:2"}),
        ("/v1/training-jobs", {"name": "other", "dataset": DATASET, "base": "gym:2"}),
    ],
)
def test_a_version_that_an_unfinished_job_needs_is_not_deleted(
    http: httpx2.Client, library: Library, worker: AnsweringWorker, path: str, body: dict[str, Any]
) -> None:
    worker.answer = lambda _: None
    library.dataset()
    for number in (1, 2, 22):
        library.version("gym", number)
    http.put("/v1/models/gym/aliases/production", json={"version": 2})
    job = http.post(path, json=body, headers={"prefer": "respond-async"})
    assert job.status_code == 202, job.text
    for needed in ("gym/versions/2", "gym"):
        found = error(http.delete(f"/v1/models/{needed}"), 409, "conflict")
        assert found["details"]["jobs"] == [job.json()["id"]]
    for other in (1, 22):
        assert http.delete(f"/v1/models/gym/versions/{other}").status_code == 204
    if (ended := http.post(f"/v1/jobs/{job.json()['id']}/cancel").json())["state"] != "cancelled":
        worker.finish(ended["id"], Cancelled("stop"))
    assert http.delete("/v1/models/gym/versions/2").status_code == 204


def test_conditional_requests_about_an_alias(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    for number in (1, 2, 3):
        library.version("gym", number)
    path, new = "/v1/models/gym/aliases/production", {"if-none-match": "*"}
    error(http.get(path), 404, "not_found")
    error(http.put(path, json={"version": 1}, headers={"if-match": '"1"'}), 412, "precondition_failed")
    assert http.put(path, json={"version": 1}, headers=new).headers["etag"] == '"1"'
    error(http.put(path, json={"version": 2}, headers=new), 412, "precondition_failed")
    read = http.get(path)
    assert (read.json()["model"], read.json()["alias"], read.json()["version"]) == ("gym", "production", 1)
    assert read.headers["etag"] == '"1"'
    assert http.get(path, headers={"if-none-match": '"1"'}).status_code == 304
    assert http.put(path, json={"version": 2}, headers={"if-match": '"1"'}).headers["etag"] == '"2"'
    error(http.put(path, json={"version": 3}, headers={"if-match": '"1"'}), 412, "precondition_failed")
    assert error(http.delete(path, headers={"if-match": '"1"'}), 412, "precondition_failed")["details"] == {
        "etag": '"2"'
    }
    assert http.get(path).json()["version"] == 2
    assert http.delete(path, headers={"if-match": '"2"'}).status_code == 204


def test_one_of_several_gateways_that_move_an_alias_under_one_condition_wins(
    library: Library, site: Site, serve: Callable[..., AbstractContextManager[Site]], worker: AnsweringWorker
) -> None:
    for number in range(1, 8):
        library.version("gym", number)
    with serve(store=site.settings.store_url) as other, site.client() as here, other.client() as there:
        path, sent = "/v1/models/gym/aliases/production", {"if-match": '"1"'}
        here.put(path, json={"version": 1}).raise_for_status()
        with ThreadPoolExecutor(6) as pool:
            clients = [here, there] * 3
            moved = [
                pool.submit(client.put, path, json={"version": number}, headers=sent)
                for number, client in enumerate(clients, 2)
            ]
            statuses = sorted(answer.result().status_code for answer in moved)
    assert statuses == [200] + [412] * 5


def test_models_are_paged(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    for name in ("gym", "aerobics", "lite2"):
        library.version(name, 1)
    everything = [model["name"] for model in http.get("/v1/models").json()["data"]]
    assert everything == ["lite", "clip-b16", "clip-l14", "aerobics", "gym", "lite2"]
    for limit in (1, 2, 6):
        seen: list[str] = []
        params = {"limit": str(limit)}
        while True:
            page = http.get("/v1/models", params=params).raise_for_status().json()
            seen += [model["name"] for model in page["data"]]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
        assert seen == everything
    error(http.get("/v1/models?cursor=lite"), 422, "invalid_request")


def test_versions_and_models_are_deleted(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    for number in (1, 2, 3):
        library.version("gym", number)
    http.put("/v1/models/gym/aliases/production", json={"version": 2})
    assert http.delete("/v1/models/gym/versions/2").status_code == 204
    gym = http.get("/v1/models/gym").json()
    assert (gym["versions"], gym["aliases"]) == ([1, 3], {})
    error(http.delete("/v1/models/gym/versions/2"), 404, "unknown_model")
    assert http.delete("/v1/models/gym:3").status_code == 204
    assert http.get("/v1/models/gym").json()["versions"] == [1]
    error(http.delete("/v1/models/gym:3"), 404, "unknown_model")
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    error(http.delete("/v1/models/gym@production"), 422, "invalid_request")
    for malformed in ("gym:x", "gym:", "gym:1:1"):
        error(http.delete(f"/v1/models/{malformed}"), 404, "unknown_model")
    assert http.delete("/v1/models/gym").status_code == 204
    error(http.delete("/v1/models/gym"), 404, "unknown_model")
    error(http.delete("/v1/models/lite"), 409, "conflict")
    assert library.store.find("registry/gym") == []


def test_files_of_a_version(http: httpx2.Client, library: Library) -> None:
    library.version("gym", 1)
    path = "/v1/models/gym/versions/1"
    whole = http.get(f"{path}/files/model.safetensors")
    assert (whole.content, whole.headers["content-length"]) == (WEIGHTS, str(len(WEIGHTS)))
    part = http.get(f"{path}/files/model.safetensors", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, WEIGHTS[10:20])
    assert http.get(f"{path}/files/card.json").json()["name"] == "gym"
    page = http.get(f"{path}/report")
    assert page.text == REPORT
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy
    assert "script" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert http.get(f"{path}/files/report.html").headers["content-security-policy"] == policy


@pytest.mark.parametrize(
    "path", ["1/files/text", "1/files/text%2Fconfig.json", "1/files/..%2Faliases.json", "1/files/none.png", "2/report"]
)
def test_files_that_are_not_served(http: httpx2.Client, library: Library, path: str) -> None:
    library.version("gym", 1)
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    assert http.get(f"/v1/models/gym/versions/{path}").status_code == 404


def test_a_question_resolves_to_one_version(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    library.version("gym", 1)
    library.version("gym", 2)
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    for ref, exact in (("gym", "gym:2"), ("gym:1", "gym:1"), ("gym@production", "gym:1")):
        answer = ask(http, labels="a cat", model=ref)
        assert labels(answer) == ["a cat"]
        assert worker.job(answer.json()["id"]).request["question"]["model"] == exact
    again = http.post(f"/v1/videos/vid_{SHA}/classify", json={"model": "gym@production"})
    assert worker.job(again.json()["id"]).request["question"]["model"] == "gym:1"
    vectors = http.post("/v1/embeddings", json={"texts": ["a"], "model": "gym"})
    assert worker.job(vectors.json()["id"]).request["model"] == "gym:2"


def test_without_labels_a_model_uses_the_classes_of_its_training(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    many = tuple(f"class {index}" for index in range(60))  # more labels than this gateway allows in a question
    library.version("gym", 1, classes=("Boxing", "boxing "))  # two labels that a question may not combine
    library.version("gym", 2, classes=many)
    library.version("imported", 1, classes=())
    assert labels(ask(http, model="gym:1")) == ["Boxing", "boxing "]
    assert labels(ask(http, model="gym")) == list(many)
    for model in ("imported", "lite"):
        error(ask(http, model=model), 422, "invalid_labels")
    error(ask(http), 422, "invalid_labels")
    error(ask(http, model="gym", labels="[]"), 422, "invalid_labels")


@pytest.mark.parametrize(
    ("card", "asked", "expected"),
    [(True, {}, True), (False, {}, False), (True, {"normalize_labels": "false"}, False), (None, {}, False)],
)
def test_labels_are_normalised_as_in_the_training(
    http: httpx2.Client,
    library: Library,
    worker: AnsweringWorker,
    card: bool | None,
    asked: dict[str, str],
    expected: bool,
) -> None:
    library.version("gym", 1, classifier={"kind": "text"} | ({} if card is None else {"normalize_labels": card}))
    answer = ask(http, model="gym", labels='["BrushHair"]', **asked)
    assert worker.job(answer.json()["id"]).request["question"]["normalize_labels"] is expected


def test_a_closed_classifier_refuses_other_labels(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.version("closed", 1, classifier={"kind": "lda"}, open_labels=False)
    assert labels(ask(http, model="closed", labels='["running"]')) == ["running"]
    found = error(ask(http, model="closed", labels='["running", "boxin"]'), 422, "invalid_labels")
    assert found["details"] == {"index": 1, "nearest": ["boxing"]}
    assert "lda" in found["message"]
    http.put("/v1/label-sets/sports", json={"labels": ["a cat"]})
    error(ask(http, model="closed", label_set="sports"), 422, "invalid_labels")
    assert worker.seen != []


def test_a_repeat_gets_its_answer_after_the_name_means_a_newer_version(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.version("gym", 1)
    headers = {"idempotency-key": "k"}
    body = {"model": "gym", "base64": "AAAA"}
    first = http.post("/v1/classify", json=body, headers=headers).json()["id"]
    library.version("gym", 2, classes=("else",))
    assert http.post("/v1/classify", json=body, headers=headers).json()["id"] == first
    error(http.post("/v1/classify", json=body | {"model": "gym:2"}, headers=headers), 409, "conflict")


def test_a_version_is_known_without_a_worker(http: httpx2.Client, library: Library, site: Site) -> None:
    library.version("gym", 1)
    waits = {"prefer": "respond-async"}
    job = http.post("/v1/classify", json={"model": "gym", "base64": "AAAA"}, headers=waits)
    assert job.status_code == 202
    error(http.post("/v1/classify", json={"model": "gym:2", "base64": "AAAA"}, headers=waits), 404, "unknown_model")
    error(ask(http, model="gym"), 503, "worker_unavailable")


def test_importing_a_checkpoint(http: httpx2.Client, site: Site, library: Library, worker: AnsweringWorker) -> None:
    files = {"file": ("vitb-16-f8.pt", b"\x80\x02 weights")}
    data = {"name": "k400", "base": "clip-b16", "frames": "8", "classes": '["a","b"]', "temporal": "transformer"}
    answer = http.post("/v1/models", data=data, files=files)
    assert (answer.status_code, answer.json()["kind"]) == (202, "import")
    request = site.run(site.gateway.jobs.get(answer.json()["id"])).request
    assert (site.store / request.pop("file")).read_bytes() == b"\x80\x02 weights"
    assert request == {
        "filename": "vitb-16-f8.pt",
        "name": "k400",
        "base": "clip-b16",
        "temporal": "transformer",
        "frames": 8,
        "classes": ["a", "b"],
    }
    error(http.post("/v1/models", files=files), 422, "invalid_request")
    error(http.post("/v1/models", files=files, data={"name": "clip-b16"}), 422, "invalid_request")
    error(http.post("/v1/models", files=files, data={"name": "x", "base": "nobody"}), 404, "unknown_model")
    error(http.post("/v1/models", files={"file": ("x.pt", b"")}, data={"name": "x"}), 422, "invalid_checkpoint")


def test_info_and_metrics_show_all_queues(http: httpx2.Client, site: Site, redis_url: str) -> None:
    http.post("/v1/datasets", content=b"x")
    with answering(redis_url, lambda _: None), answering(redis_url, lambda _: None, keys.TRAINING):
        info = http.get("/v1/info").json()
        text = http.get("/metrics").text
    assert set(info["queues"]) == {"inference", "training", "datasets"}
    assert info["queues"]["datasets"]["depth"] == 1
    assert info["queues"]["datasets"]["workers"] == {"starting": 0, "ready": 0, "failed": 0}
    assert info["queues"]["training"]["workers"]["ready"] == 1
    assert {w["queue"] for w in info["workers"]} == {"inference", "training"}
    assert info["model"]["name"] == "lite"
    assert 'vireo_queue_depth{queue="datasets"} 1.0' in text
    assert 'vireo_workers{queue="training",state="ready"} 1.0' in text


def test_only_an_inference_worker_makes_the_server_ready(http: httpx2.Client, site: Site, redis_url: str) -> None:
    with answering(redis_url, lambda _: None, keys.TRAINING):
        assert http.get("/readyz").status_code == 503
    with answering(redis_url):
        assert http.get("/readyz").status_code == 200


def test_a_version_that_prompts_are_for_is_not_deleted_before_them(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    library.version("gym", 1)
    library.version("gym", 2, base="gym:1", prompts={"base": "gym:1", "digest": "d1"})
    library.version("other", 1, base="gym:1", prompts={"base": "gym:1", "digest": "d1"})
    found = error(http.delete("/v1/models/gym/versions/1"), 409, "conflict")
    assert "gym:2, other:1" in found["message"]
    assert "other:1" in error(http.delete("/v1/models/gym"), 409, "conflict")["message"]
    assert http.delete("/v1/models/other").status_code == 204
    assert http.get("/v1/models/gym").json()["versions"] == [1, 2], "nothing was deleted by halves"
    assert http.delete("/v1/models/gym").status_code == 204
