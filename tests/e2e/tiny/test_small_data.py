"""A few clips over HTTP: what training would bring, the training that `default` does, and what is no dataset for it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clips import SPECS, render
from tests.e2e.runs import CLASSES, classify, finished, train, upload
from tests.e2e.stack import Stack


@dataclass(frozen=True)
class Small:
    preview: dict[str, Any]
    result: dict[str, Any]  # of the training that followed
    report: dict[str, Any]
    card: dict[str, Any]


def preview(http: httpx2.Client, dataset: str) -> dict[str, Any]:
    asked = http.post(f"/v1/datasets/{dataset}/preview", json={"base": "tiny"})
    assert asked.status_code == 202, asked.text
    found: dict[str, Any] = finished(http, asked.json()["id"])["result"]
    return found


@pytest.fixture(scope="module")
def small(stack: Stack, dataset: str) -> Small:
    with stack.http() as http:
        before = preview(http, dataset)
        result = train(http, dataset, "small")
        files = "/v1/models/small/versions/1/files"
        report, card = (http.get(f"{files}/{name}.json").json() for name in ("report", "card"))
    return Small(before, result, report, card)


def test_a_preview_says_what_training_would_bring(small: Small, dataset: str) -> None:
    found = small.preview
    assert (found["dataset"], found["base"], found["judged_clips"], found["shots"]) == (dataset, "tiny", 10, 5)
    heads = {head["name"]: head for head in found["heads"]}
    assert list(heads) == ["zero_shot", "ncm", "ridge", "lda", "default"]
    assert all(low <= heads[name]["top1"] <= high for name in heads for low, high in [heads[name]["interval"]])
    assert [point["measured"] for point in found["curve"]] == [True] * 4 + [False] * 3
    assert [point["shots"] for point in found["curve"]][-3:] == [5, 10, 20]
    assert found["cost"]["gradient"] > 0
    assert found["advice"]["sentence"]


def test_the_training_keeps_the_preview_and_quotes_what_was_cross_validated(small: Small) -> None:
    assert small.report["preview"]["heads"] == small.preview["heads"]
    assert small.report["preview"]["advice"] == small.preview["advice"]
    headline = small.result["headline"]
    assert (headline["how"], headline["clips"]) == ("cross_validated", 10)
    assert headline["top1"] == next(h["top1"] for h in small.preview["heads"] if h["name"] == "default")
    assert small.result["solver"] == "closed_form"


def test_the_report_and_the_card_name_the_mix_and_its_strength(small: Small) -> None:
    numbers = small.card["hyperparameters"]
    assert numbers["heads"] == ["lda"]
    assert 0.5 < numbers["mix"] <= 0.95
    assert numbers["mix"] == pytest.approx(min(0.95, 5 / (5 + numbers["zero_shot_skill"])), abs=1e-4)
    assert small.report["model"]["fit"] == {name: numbers[name] for name in ("heads", "mix", "zero_shot_skill")}


@pytest.mark.usefixtures("small")
def test_the_version_answers_its_classes_and_any_others(http: httpx2.Client, archive: Path) -> None:
    answer = classify(http, archive, "small:1", None)
    assert {row["label"] for row in answer.json()["predictions"]} == set(CLASSES)
    assert answer.json()["predictions"][0]["label"] == CLASSES[0]
    mixed = classify(http, archive, "small:1", [*CLASSES, "a cat"])
    assert {row["label"] for row in mixed.json()["predictions"]} == {*CLASSES, "a cat"}


def archive_of(path: Path, clips: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in clips.items():
            zipped.writestr(name, content)
    return path


def test_a_class_with_one_clip_leaves_out_heads_in_words(http: httpx2.Client, tmp_path: Path) -> None:
    clips = {}
    for split, number in (("train", 0), ("train", 1), ("val", 2), ("val", 3)):
        label, content = CLASSES[number % 2], ("bars", "index")[number % 2]
        spec = replace(SPECS["h264"], frames=40 + number, content=content, matrix="bt709")  # type: ignore[arg-type]
        clips[f"{split}/{label}/{number}.mp4"] = render(tmp_path / f"{number}.mp4", spec).read_bytes()
    found = preview(http, upload(http, archive_of(tmp_path / "one.zip", clips)))
    notes = {head["name"]: head["note"] for head in found["heads"]}
    assert "every class has one clip" in notes["lda"]
    assert "no clip can be left out" in notes["ncm"]
    assert found["advice"]["action"] == "label_more"


@pytest.mark.parametrize(
    ("clips", "codes"),
    [
        ({"a/1.mp4": b"no video", "b/1.mp4": b"nor this"}, {"undecodable", "thin_class"}),
        ({"a/1.mp4": None}, {"thin_class"}),
    ],
)
def test_what_is_no_dataset_shows_its_own_report(
    http: httpx2.Client, tmp_path: Path, clips: dict[str, bytes | None], codes: set[str]
) -> None:
    """All clips undecodable, or one class only: there is no dataset to preview or to train on."""
    film = render(tmp_path / "clip.mp4", SPECS["h264"]).read_bytes()
    archive = archive_of(tmp_path / "bad.zip", {name: content or film for name, content in clips.items()})
    sent = http.post("/v1/datasets", files={"archive": (archive.name, archive.read_bytes())})
    error = finished(http, sent.json()["id"], "failed")["error"]
    assert error["code"] == "invalid_dataset"
    assert codes <= {finding["code"] for finding in error["details"]["report"]}
