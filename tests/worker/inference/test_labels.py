"""The label doctor with a tiny model: what its text encoder makes of labels."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import InvalidRequest
from core.labels.check import LabelCheck, LabelFinding
from core.records import Job
from models.classifier.ensemble import build_rows
from models.classifier.likeness import DIFFERENT
from models.recognition.recognizer import Recognizer
from tests.worker.inference.conftest import TextTower
from worker.inference.labels import doctor
from worker.inference.labels.doctor import answer_label_check
from worker.inference.labels.heat_map import MARGIN, draw_heat_map
from worker.inference.loading import opening
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

Check = Callable[..., tuple[LabelCheck, dict[str, bytes]]]


@pytest.fixture
def check(runtime: Runtime) -> Check:
    def checked(*names: str, **fields: Any) -> tuple[LabelCheck, dict[str, bytes]]:
        request = {"labels": [{"name": name} for name in names], **fields}
        pictures: dict[str, bytes] = {}
        job = Job(id="job_1", kind="label_check", request=request, created_at=time.time())
        found = answer_label_check(runtime, job, CancelToken(), pictures.__setitem__)
        return LabelCheck.model_validate(found), pictures

    return checked


def of(found: LabelCheck, code: str) -> list[LabelFinding]:
    return [finding for finding in found.findings if finding.code == code]


def test_near_is_measured_with_the_model_itself(check: Check, tiny: Recognizer) -> None:
    found, _ = check("a cat", "a cat.", "hugging")
    rows, _ = build_rows(tiny.encode_texts, [(name, None) for name in DIFFERENT], tiny.profile.templates, False)
    cosines = rows @ rows.T - 2 * torch.eye(48)
    assert found.near == pytest.approx(float(cosines.max()), abs=1e-5)
    asked, _ = build_rows(tiny.encode_texts, [("a cat", None), ("a cat.", None)], tiny.profile.templates, False)
    expected = float(asked[0] @ asked[1])
    near = [finding for finding in of(found, "near_synonyms") if finding.labels == ["a cat", "a cat."]]
    assert len(near) == (expected > found.near)
    assert all(finding.similarity == pytest.approx(expected, abs=1e-5) for finding in near)
    assert (found.model, found.checked) == ("lite", 3)


def test_pairs_above_the_threshold_are_named_but_not_known_duplicates(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "near_threshold", lambda _: -1.0)
    known = {"severity": "error", "code": "duplicate", "message": "m", "suggestion": "s", "labels": ["a cat", "A cat"]}
    found, _ = check("a cat", "A cat", "a dog", found=[known])
    assert found.findings[0].code == "duplicate", "the most serious first"
    pairs = [set(finding.labels) for finding in of(found, "near_synonyms")]
    assert sorted(map(sorted, pairs)) == [["A cat", "a dog"], ["a cat", "a dog"]]


def test_a_label_that_is_cut_off_is_named(check: Check) -> None:
    found, _ = check("a cat", "very " * 100 + "long")
    (finding,) = of(found, "truncated")
    assert finding.labels[0].startswith("very very")


def test_a_label_that_depends_on_the_template_is_named_with_the_other_one(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def sensitive(rows: torch.Tensor, others: list[torch.Tensor]) -> list[tuple[int, int]]:
        seen.append(len(others))
        return [(1, 0)]

    monkeypatch.setattr(doctor, "template_sensitive", sensitive)
    found, _ = check("a cat", "a dog")
    (finding,) = of(found, "template_sensitive")
    assert finding.labels == ["a dog", "a cat"]
    assert seen == [2], "the model's own template is not another one"


def test_spellings_of_one_label_do_not_depend_on_the_template(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows are equal, so rounding says which one is nearer."""
    known = {"severity": "error", "code": "duplicate", "message": "m", "suggestion": "s", "labels": ["a cat", "A cat"]}
    monkeypatch.setattr(doctor, "template_sensitive", lambda *_: [(0, 1), (1, 0), (2, 0)])
    found, _ = check("a cat", "A cat", "a dog", found=[known])
    assert [finding.labels for finding in of(found, "template_sensitive")] == [["a dog", "a cat"]]


def test_the_map_shows_the_cosines(check: Check, tiny: Recognizer) -> None:
    found, pictures = check("a cat", "a dog", "a bird")
    assert found.map.url == "/v1/jobs/job_1/files/labels.png"
    picture = Image.open(io.BytesIO(pictures["labels.png"]))
    assert picture.size == (found.map.width, found.map.height)
    rows, _ = build_rows(
        tiny.encode_texts, [(n, None) for n in ("a cat", "a dog", "a bird")], tiny.profile.templates, False
    )
    assert found.mean_similarity == pytest.approx(float((rows @ rows.T).sum() - 3) / 6, abs=1e-5)


@pytest.mark.parametrize("count", [1, 3, 400])
def test_a_map_of_any_size(count: int) -> None:
    cosines = np.full((count, count), -1.0)
    np.fill_diagonal(cosines, 1.0)
    drawn = draw_heat_map(cosines)
    picture = Image.open(io.BytesIO(drawn.png)).convert("RGB")
    assert max(picture.size) <= 1080 + MARGIN
    assert picture.getpixel((MARGIN, MARGIN)) == (178, 24, 43)
    if count > 1:
        assert picture.getpixel((picture.width - 1, MARGIN)) == (33, 102, 172)


def test_findings_are_limited_and_counted(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "near_threshold", lambda _: -1.0)
    monkeypatch.setattr(doctor, "MOST_FINDINGS", 4)
    found, _ = check("a", "b", "c", "d", "e")
    assert len(found.findings) == 4
    assert found.left_out >= 6


def test_a_closed_model_reads_no_text(
    check: Check, tiny: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = replace(tiny, text_tower=texts, classes=("a",), fixed_rows=torch.ones(1, tiny.dim))
    monkeypatch.setattr(opening, "load_model", lambda *_, **__: closed)
    with pytest.raises(InvalidRequest, match="reads no text"):
        check("a")
