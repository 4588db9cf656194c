"""Answers of a calibrated model: confidence, abstention, and several labels at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.calibration.shelf import Calibrations, scope_of
from core.errors import StorageUnavailable
from core.questions import Label
from models.calibration.logistic import Logistic
from models.calibration.null_prompts import NULL_PROMPTS
from models.classifier.ensemble import build_rows
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from tests.clips import rendered
from tests.core.calibration.records import published
from tests.worker.inference.conftest import TextTower
from tests.worker.inference.test_handlers import classify, keep
from worker.inference.caches.features import video_key
from worker.inference.runtime import Runtime

LABELS = ["a cat", "a dog", "a bird"]
BIAS, WEIGHTS = 0.2, (30.0, 10.0)


@pytest.fixture
def video(runtime: Runtime, tmp_path: Path) -> str:
    return keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())


@pytest.fixture
def calibrated(runtime: Runtime, tiny: Recognizer, tmp_path: Path) -> None:
    published(
        runtime.store, tmp_path / "new", digest=tiny.digest, bias=BIAS, above_mean=WEIGHTS[0], above_best=WEIGHTS[1]
    )


def by_label(answer: dict[str, Any], field: str) -> dict[str, Any]:
    return {each["label"]: each[field] for each in answer["predictions"]}


def test_without_a_calibration_the_answer_says_so(runtime: Runtime, video: str) -> None:
    answer = classify(runtime, video, LABELS, threshold=0.9999)
    assert (answer["calibrated"], answer["calibration"], answer["mode"]) == (False, None, "single")
    assert set(by_label(answer, "confidence").values()) == {None}
    assert answer["abstained"] is True, "by the score, as before"
    assert classify(runtime, video, LABELS, threshold=0.01)["abstained"] is False
    assert all("present" not in each for each in answer["predictions"])
    assert answer["warnings"] == []


@pytest.mark.usefixtures("calibrated")
@pytest.mark.parametrize("views", ["1x1", "2x1"])
def test_confidence_is_the_logistic_function_of_what_stands_above_the_null_prompts(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    views: str,
) -> None:
    answer = classify(runtime, video, LABELS, views=views)
    assert answer["calibrated"] is True
    assert (answer["calibration"]["id"], answer["calibration"]["version"]) == (f"cal_{1:024x}", 1)
    key = video_key(video, tiny, Views.parse(views), tiny.profile.frames)
    kept = runtime.videos.get(key)
    assert kept is not None
    pooled = torch.nn.functional.normalize(tiny.pool(kept.features).mean(dim=0), dim=-1)  # [d]
    null, _ = build_rows(tiny.encode_texts, [(text, (text,)) for text in NULL_PROMPTS], ("{}",), False)
    similarities = np.array([each["similarity"] for each in answer["predictions"]])
    expected = Logistic(BIAS, WEIGHTS)(similarities, (null @ pooled).numpy())
    found = [each["confidence"] for each in answer["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found == sorted(found, reverse=True)


@pytest.mark.usefixtures("calibrated")
def test_confidence_of_a_label_does_not_depend_on_the_others(runtime: Runtime, video: str) -> None:
    alone = classify(runtime, video, LABELS[:1])
    together = classify(runtime, video, LABELS)
    assert by_label(alone, "confidence")["a cat"] == by_label(together, "confidence")["a cat"]
    assert by_label(alone, "score")["a cat"] == 1.0 > by_label(together, "score")["a cat"]


@pytest.mark.usefixtures("calibrated")
def test_abstention_is_by_confidence(runtime: Runtime, video: str) -> None:
    """A single label has the score 1, whatever the video shows."""
    confidence = by_label(classify(runtime, video, ["a cat"]), "confidence")["a cat"]
    assert confidence < 1
    assert classify(runtime, video, ["a cat"], threshold=min(1.0, confidence + 1e-4))["abstained"] is True
    assert classify(runtime, video, ["a cat"], threshold=confidence - 1e-4)["abstained"] is False


def test_several_labels_may_be_true_at_once(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    tmp_path: Path,
) -> None:
    published(runtime.store, tmp_path / "sure", digest=tiny.digest, bias=5.0, above_mean=0.01, above_best=0.01)
    answer = classify(runtime, video, LABELS, mode="multi", top_k=2)
    assert [each["present"] for each in answer["predictions"]] == [True, True]
    assert (answer["mode"], answer["abstained"], answer["warnings"]) == ("multi", False, [])
    published(runtime.store, tmp_path / "unsure", 2, digest=tiny.digest, bias=-5.0, above_mean=0.01, above_best=0.01)
    unsure = classify(runtime, video, LABELS, mode="multi")
    assert unsure["calibration"]["version"] == 2, "the newer version, without a restart"
    assert set(by_label(unsure, "present").values()) == {False}
    assert unsure["abstained"] is True, "no label reaches 0.5"
    assert classify(runtime, video, LABELS, mode="multi", threshold=0.001)["abstained"] is False


def test_several_labels_without_a_calibration_are_warned_about(runtime: Runtime, video: str) -> None:
    answer = classify(runtime, video, LABELS, mode="multi", threshold=0.1)
    scores, present = by_label(answer, "score"), by_label(answer, "present")
    assert present == {label: score >= 0.1 for label, score in scores.items()}
    assert "is not calibrated" in answer["warnings"][0]


def test_a_calibration_of_other_weights_or_other_null_prompts_is_not_applied(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    tmp_path: Path,
) -> None:
    published(runtime.store, tmp_path / "new", digest="another version")
    published(runtime.store, tmp_path / "new", 2, digest=tiny.digest, null_version=0)
    assert classify(runtime, video, LABELS)["calibration"] is None


@pytest.mark.usefixtures("calibrated")
def test_a_label_set_has_its_own_calibration(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    tmp_path: Path,
) -> None:
    scope = scope_of([Label(name=name) for name in LABELS], None, normalise=False)
    published(runtime.store, tmp_path / "own", 2, digest=tiny.digest, scope=scope, label_set="pets:1")
    assert classify(runtime, video, LABELS)["calibration"]["label_set"] == "pets:1"
    assert classify(runtime, video, LABELS[:2])["calibration"]["label_set"] is None


@pytest.mark.usefixtures("calibrated")
def test_the_null_prompts_are_encoded_once(runtime: Runtime, video: str, texts: TextTower) -> None:
    classify(runtime, video, LABELS)
    assert sum(text in NULL_PROMPTS for text in texts.texts) == len(NULL_PROMPTS)
    texts.passes.clear()
    classify(runtime, video, ["a fish"])
    assert len(texts.texts) == 1


def test_a_deleted_calibration_is_no_longer_applied(
    runtime: Runtime,
    video: str,
    tiny: Recognizer,
    tmp_path: Path,
) -> None:
    found = published(runtime.store, tmp_path / "new", digest=tiny.digest)
    assert classify(runtime, video, LABELS)["calibrated"] is True
    Calibrations(runtime.store).delete(found)
    assert classify(runtime, video, LABELS)["calibrated"] is False


@pytest.mark.usefixtures("calibrated")
def test_a_store_that_is_away_costs_the_confidence_and_not_the_answer(
    runtime: Runtime, video: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    classify(runtime, video, ["warm"])  # the features of the video are cached now

    def away(_: str) -> list[str]:
        raise StorageUnavailable("away")

    runtime.calibrations = Calibrations(runtime.store)
    monkeypatch.setattr(runtime.store, "children", away)
    answer = classify(runtime, video, LABELS)
    assert answer["calibrated"] is False
    assert "The store cannot be reached" in answer["warnings"][0]
