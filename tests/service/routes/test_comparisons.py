"""Whether a version is better than the one that an alias names."""

from __future__ import annotations

import json

import httpx2

from core.comparison.paired import compare_hits
from core.state import keys
from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import DATASET, Library
from tests.service.sites import Site, error


def predictions(*right: bool) -> str:
    lines = (
        {"clip": f"{number}", "view": "1x1", "true": "a", "given": "a" if hit else "b", "score": 1.0}
        for number, hit in enumerate(right)
    )
    return "\n".join(map(json.dumps, lines))


def test_a_version_is_compared_with_that_of_an_alias(http: httpx2.Client, library: Library) -> None:
    for version, (right, digest) in enumerate([(30, "d"), (50, "d")], start=1):
        library.version("my-gym", version, dataset={"id": DATASET, "digest": digest})
        answers = predictions(*[number < right for number in range(60)])
        library.store.write_text(f"registry/my-gym/{version}/predictions.jsonl", answers)
    http.put("/v1/models/my-gym/aliases/production", json={"version": 1})
    compare = "/v1/models/my-gym/aliases/production/compare"
    found = http.post(compare, json={"model": "my-gym:2"})
    assert found.status_code == 200, found.text
    assert (found.json()["verdict"], found.json()["clips"]) == ("better", 60)
    assert http.post(compare, json={"model": "my-gym:1"}).json()["verdict"] == "cannot_be_told_apart"
    error(http.post(compare, json={"model": "my-gym:9"}), 404, "unknown_model")
    error(http.post(compare, json={}), 422, "invalid_request")
    error(http.post("/v1/models/my-gym/aliases/none/compare", json={"model": "my-gym:2"}), 404, "not_found")


def test_the_report_of_a_version_knows_the_model_that_it_was_trained_from(
    http: httpx2.Client, library: Library, worker: AnsweringWorker
) -> None:
    """So a zoo model, or a version that was judged elsewhere, is compared without a job."""
    library.version("my-gym", 1, base="lite", dataset={"id": DATASET, "digest": "first"})
    library.version("my-gym", 2, base="my-gym:1", dataset={"id": DATASET, "digest": "second"})
    for version in (1, 2):
        lines = [{"clip": f"{n}.mp4", "view": "1x1", "true": "a", "given": "a", "before": "b"} for n in range(40)]
        library.store.write_text(f"registry/my-gym/{version}/predictions.jsonl", "\n".join(map(json.dumps, lines)))
    http.put("/v1/models/my-gym/aliases/production", json={"version": 1})
    for candidate, verdict, top1 in (("lite", "worse", 0.0), ("my-gym:2", "better", 1.0)):
        found = http.post("/v1/models/my-gym/aliases/production/compare", json={"model": candidate}).json()
        assert (found["candidate"], found["standing"], found["verdict"]) == (candidate, "my-gym:1", verdict)
        assert found["candidate_top1"] == top1


def test_what_no_report_tells_is_compared_by_a_job(
    http: httpx2.Client, library: Library, site: Site, redis_url: str, worker: AnsweringWorker
) -> None:
    library.dataset()
    other = DATASET[:-1] + "0"
    library.dataset(other)
    library.version("my-gym", 1, base="lite", dataset={"id": other, "digest": "first"})
    library.version("my-gym", 2, base="lite", dataset={"id": DATASET, "digest": "second"})
    http.put("/v1/models/my-gym/aliases/production", json={"version": 1})
    compare = "/v1/models/my-gym/aliases/production/compare"
    for body, dataset in (
        ({"model": "my-gym:2"}, DATASET),  # the candidate's
        ({"model": "my-gym@production"}, None),
        ({"model": "clip-b16"}, other),
        ({"model": "clip-b16", "dataset": DATASET}, DATASET),
    ):
        asked = http.post(compare, json=body, headers={"prefer": "respond-async"})
        if dataset is None:
            continue
        assert asked.status_code == 202, asked.text
        assert asked.json()["kind"] == "comparison"
        request = site.run(site.gateway.jobs.get(asked.json()["id"])).request
        candidate = body["model"]
        assert request == {"candidate": candidate, "standing": "my-gym:1", "dataset": dataset}
    error(http.delete("/v1/models/my-gym/versions/1"), 409, "conflict")  # the jobs need it
    said = compare_hits("my-gym:2", {"a": True}, "my-gym:1", {"a": False})
    assert said is not None
    with answering(redis_url, lambda _: dict(said), keys.TRAINING):
        waited = http.post(compare, json={"model": "my-gym:2"})
    assert (waited.status_code, waited.json()["sentence"]) == (200, said["sentence"])


def test_comparisons_that_cannot_be(http: httpx2.Client, library: Library, worker: AnsweringWorker) -> None:
    library.version("my-gym", 1, base="clip-b16")  # imported: judged on nothing
    library.version("my-gym", 2, dataset={"id": DATASET, "digest": "d"}, open_labels=False)
    http.put("/v1/models/my-gym/aliases/production", json={"version": 1})
    compare = "/v1/models/my-gym/aliases/production/compare"
    assert "dataset" in error(http.post(compare, json={"model": "lite"}), 409, "conflict")["hint"]
    error(http.post(compare, json={"model": "lite", "dataset": DATASET}), 404, "unknown_dataset")
    library.dataset(counts={"boxing": (3, 0), "running": (2, 0)})
    error(http.post(compare, json={"model": "lite", "dataset": DATASET}), 422, "invalid_request")  # no held-out clips
    library.dataset(counts={"boxing": (3, 1), "swimming": (2, 1)})
    error(http.post(compare, json={"model": "my-gym:2"}), 422, "invalid_labels")
