"""Gateway and workers do all their work as users of Redis who may do nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx2
import pytest

from core.state import keys
from tests.e2e.contract.furniture import Furniture
from tests.e2e.hardened.containers import Containers, make_key
from tests.e2e.lite.test_faults import until
from tests.e2e.stack import Stack
from tests.service.jobs.test_webhooks import Receiver, receiving
from tests.service.sites import BASE64

LABELS = ["a cat", "colour bars"]


@pytest.fixture
def no_refusals(hardened: Containers) -> Iterator[None]:
    """Redis lists the commands that it has refused. One that redis-py tries on each connection has no name that Redis
    would take in a rule (CLIENT MAINT_NOTIFICATIONS, of Redis Enterprise), and its refusal changes nothing."""
    with hardened.redis("tester") as tester:
        tester.acl_log_reset()
        yield
        assert [entry for entry in tester.acl_log() if not str(entry["object"]).startswith("client")] == []


@pytest.mark.usefixtures("no_refusals")
def test_everything_can_be_read(http: httpx2.Client, furniture: Furniture) -> None:
    names = {
        "videos": {"id": furniture.video},
        "label-sets": {"name": furniture.label_set, "n": "1"},
        "datasets": {"id": furniture.dataset},
        "training-jobs": {"id": furniture.training},
        "evaluations": {"id": furniture.evaluation, "file": "report.json"},
        "calibrations": {"name": furniture.calibration, "file": "reliability.png"},
        "models": {"name": furniture.model, "n": "1", "alias": "production", "file": "card.json"},
        "batches": {"id": furniture.batch},
        "feedback": {"id": furniture.feedback},
        "jobs": {"id": furniture.explanation, "file": "attention.png"},
    }
    statuses = {}
    for path, operations in http.get("/openapi.json").json()["paths"].items():
        if "get" in operations:
            resource = path.split("/")[2] if path.startswith("/v1/") else ""
            asked = re.sub(r"\{(\w+)\}", lambda name: names[resource].get(name[1], "none"), path)  # noqa: B023
            statuses[path] = http.get(asked).status_code
    assert len(statuses) > 30
    assert {path: status for path, status in statuses.items() if status >= 500} == {}
    assert [path for path, status in statuses.items() if status == 404] == [
        "/v1/datasets/{id}/clips/{sha256}",
        "/v1/models/{name}/aliases/{alias}/shadow",
    ]


@pytest.mark.usefixtures("no_refusals")
def test_questions_of_every_kind_are_answered(http: httpx2.Client, furniture: Furniture) -> None:
    video, scored = furniture.video, {"labels": LABELS, "model": "tiny"}
    ask = partial(asked, http)
    for _ in range(2):  # the second answers come from caches
        ask(f"/v1/videos/{video}/classify", scored | {"frames": 4})
    ask("/v1/classify", {"base64": furniture.clip, "label_set": furniture.label_set})
    ask(f"/v1/videos/{video}/timeline", scored)
    ask(f"/v1/videos/{video}/frames", {"model": "tiny"})
    ask("/v1/embeddings", {"texts": LABELS})
    ask("/v1/labels/check", {"labels": LABELS})
    ask("/v1/search/index", {"model": "tiny"})
    ask("/v1/search", {"text": "a cat", "model": "tiny"})
    http.patch(f"/v1/videos/{video}", json={"tags": ["seen"]})
    items = [{"video_id": video}, {"s3": "s3://vireo/planted/none.mp4"}]
    batch = ask("/v1/batches", scored | {"items": items})
    assert http.get(f"/v1/batches/{batch['id']}/results").text.count("\n") == 2


@pytest.mark.usefixtures("no_refusals")
def test_another_project_works_alike(hardened: Containers, stack: Stack, furniture: Furniture) -> None:
    token = make_key(hardened, "acme")
    with stack.http() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.get(f"/v1/videos/{furniture.video}").status_code == 404
        video = http.post("/v1/videos", json={"base64": furniture.clip}).json()["id"]
        assert asked(http, f"/v1/videos/{video}/classify", {"labels": LABELS})["video"]["id"] == video
        batch = asked(http, "/v1/batches", {"labels": LABELS, "items": [{"video_id": video}] * 2})
        assert batch["result"]["answered"] == 2, batch
        http.put("/v1/label-sets/own", json={"labels": LABELS}).raise_for_status()
        assert asked(http, "/v1/search/index", {"model": "tiny"})
        assert http.delete(f"/v1/videos/{video}").status_code == 204


@pytest.mark.usefixtures("no_refusals")
def test_a_model_is_followed_by_its_shadow(hardened: Containers, http: httpx2.Client, furniture: Furniture) -> None:
    alias = f"/v1/models/{furniture.model}/aliases/candidate"
    http.put(alias, json={"version": 1}).raise_for_status()
    http.put(f"{alias}/shadow", json={"version": 2, "share": 1.0}).raise_for_status()
    question = {"labels": LABELS, "model": f"{furniture.model}@candidate"}
    asked(http, f"/v1/videos/{furniture.video}/classify", question)
    with hardened.redis("tester") as tester:
        until(lambda: bool(tester.hlen(keys.shadow_counts(furniture.model, "candidate"))), 30)
    for path in (f"{alias}/shadow", alias):
        assert http.delete(path).status_code == 204


@pytest.mark.usefixtures("no_refusals")
def test_jobs_end_are_cancelled_and_announced(http: httpx2.Client, furniture: Furniture) -> None:
    with receiving(Receiver()) as receiver:
        headers = {"Webhook-URL": receiver.url, "Idempotency-Key": "once", "Prefer": "respond-async"}
        question = {"labels": LABELS, "frames": 5}
        path = f"/v1/videos/{furniture.video}/classify"
        job = http.post(path, json=question, headers=headers).json()["id"]
        assert http.post(path, json=question, headers=headers).json()["id"] == job
        until(lambda: len(receiver.messages) == 1, 30)
    with http.stream("GET", f"/v1/jobs/{job}/events") as events:
        assert '"succeeded"' in "".join(events.iter_lines())
    wanted = {"name": "cancelled", "dataset": furniture.dataset, "base": "tiny", "epochs": 500}
    run = http.post("/v1/training-jobs", json=wanted).json()["id"]
    for step, state in (("cancel", "cancelled"), ("resume", "running"), ("cancel", "cancelled")):
        assert http.post(f"/v1/training-jobs/{run}/{step}").status_code == 202
        until(lambda state=state: http.get(f"/v1/jobs/{run}").json()["state"] == state, 60)  # type: ignore[misc]


@pytest.mark.usefixtures("no_refusals")
def test_everything_can_be_deleted(http: httpx2.Client, furniture: Furniture) -> None:
    for operation, spares in furniture.spare.items():
        method, path = operation.split()
        if method == "DELETE":
            gone = re.sub(r"\{(id|name)\}", spares[-1], path).replace("{n}", "1")
            assert http.delete(gone).status_code == 204, gone


@pytest.mark.usefixtures("no_refusals")
def test_what_has_expired_is_swept(hardened: Containers, http: httpx2.Client, furniture: Furniture) -> None:
    video = http.post("/v1/classify", json={"base64": BASE64, "labels": LABELS}).json()  # no video: nothing is kept
    assert video["error"]["code"] == "undecodable_video"
    job = asked(http, f"/v1/videos/{furniture.video}/classify", {"labels": LABELS, "frames": 6}, wait=False)["id"]
    with hardened.redis("tester") as tester:
        tester.zadd(keys.FINISHED, {job: 1.0}, xx=True)
        hardened.restart("gateway")  # the first sweep is at its start
        hardened.wait_ready()
        until(lambda: not tester.exists(keys.job(job)), 60)


def asked(http: httpx2.Client, path: str, body: dict[str, Any], *, wait: bool = True) -> dict[str, Any]:
    """The answer, or the job with it."""
    answer = http.post(path, json=body, headers={} if wait else {"Prefer": "respond-async"})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    if found.get("state") in ("queued", "running"):
        until(lambda: http.get(f"/v1/jobs/{found['id']}").json()["state"] not in ("queued", "running"), 60)
        found = http.get(f"/v1/jobs/{found['id']}").json()
        assert found["state"] == "succeeded", found
    return found
