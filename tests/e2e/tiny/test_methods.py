"""ViFi-CLIP's methods as a user meets them: both towers, then prompts on that version, served with any labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.runs import classify, train
from tests.e2e.stack import Stack

LABELS = ["a cat", "a waterfall", "colour bars"]
OPTIONS: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-3, "frames": 2}


@pytest.fixture(scope="module")
def bridge(stack: Stack, dataset: str) -> Iterator[str]:
    """A model whose first version has two trained towers; its name."""
    with stack.http() as http:
        train(http, dataset, "bridge", method="vifi", fusion="decision", **OPTIONS)
        yield "bridge"


@pytest.fixture(scope="module")
def prompted(stack: Stack, dataset: str, bridge: str) -> str:
    with stack.http() as http:
        train(http, dataset, "prompted", method="vl_prompt", base=bridge, **OPTIONS)
    return "prompted"


def scores(http: httpx2.Client, archive: Path, model: str) -> dict[str, float]:
    answer = classify(http, archive, model, LABELS)
    assert answer.status_code == 200, answer.text
    return {row["label"]: row["score"] for row in answer.json()["predictions"]}


def test_each_version_answers_other_labels_through_its_own_text_half(
    http: httpx2.Client, archive: Path, bridge: str, prompted: str
) -> None:
    found = {model: scores(http, archive, model) for model in ("tiny", bridge, prompted)}
    assert all(set(of_labels) == set(LABELS) for of_labels in found.values())
    assert len({tuple(of_labels.values()) for of_labels in found.values()}) == 3
    assert found[prompted] == scores(http, archive, prompted)
    card = http.get(f"/v1/models/{bridge}/versions/1/files/card.json").json()
    assert (card["method"], card["profile"]["fusion"]) == ("vifi", "decision")


def test_a_version_of_prompts_is_small_and_protects_its_base(
    http: httpx2.Client, archive: Path, dataset: str, bridge: str, prompted: str
) -> None:
    weights = "/v1/models/{}/versions/1/files/model.safetensors"
    sizes = [int(http.get(weights.format(name)).headers["content-length"]) for name in (prompted, bridge)]
    assert sizes[0] < 300_000 < sizes[1]
    card = http.get(f"/v1/models/{prompted}/versions/1/files/card.json").json()
    assert card["prompts"]["base"] == "bridge:1"
    refused = http.delete(f"/v1/models/{bridge}/versions/1")
    assert refused.status_code == 409, refused.text
    assert "prompted:1" in refused.json()["error"]["message"]
    again = {"name": "again", "dataset": dataset, "base": prompted}
    answer = http.post("/v1/training-jobs", json=again)
    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (422, "base")
    evaluation = http.post(
        "/v1/evaluations", json={"model": prompted, "dataset": dataset}, headers={"Prefer": "wait=120"}
    )
    assert evaluation.json()["result"]["metrics"]["clips"] == 2, evaluation.text
    scores(http, archive, prompted)


def test_a_base_without_tokens_is_refused_before_the_job(http: httpx2.Client, dataset: str) -> None:
    body = {"name": "no", "dataset": dataset, "base": "lite", "method": "vl_prompt"}
    answer = http.post("/v1/training-jobs", json=body)
    assert answer.status_code == 422, answer.text
    found = answer.json()["error"]
    assert (found["code"], found["details"]["field"]) == ("invalid_training", "method")
    assert "clip-b16" in found["hint"]
    assert "tiny" in found["hint"]
